//! The list itself.

use super::Origin::{Call, Event, FieldValue, Gpm};
use super::{FieldInfo, Generations, Unit};

macro_rules! fields {
    ($($field:ident $id:literal $name:literal $metric_type:ident $help:literal
        $origin:expr, $unit:ident, $generations:ident $is_default:literal;)*) => {
        /// A field; the numbers are places in [`FIELDS`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Field {
            $(#[doc = concat!("`", $name, "`: ", $help)] $field,)*
        }

        /// All fields, in the order of their numbers.
        pub const FIELDS: &[FieldInfo] = &[$(FieldInfo {
            field: Field::$field,
            id: $id,
            name: $name,
            metric_type: stringify!($metric_type),
            help: $help,
            origin: $origin,
            unit: Unit::$unit,
            generations: Generations::$generations,
            is_default: $is_default,
        },)*];
    };
}

// Field | number | name | type | help | NVML, conversion, generations | collected by default
fields! {
    DriverVersion 1 "DCGM_FI_DRIVER_VERSION" label "Driver Version"
        Call("nvmlSystemGetDriverVersion"), Text, All true;
    NvmlVersion 2 "DCGM_FI_NVML_VERSION" label "NVML Version"
        Call("nvmlSystemGetNVMLVersion"), Text, All false;
    Brand 51 "DCGM_FI_DEV_BRAND" label "Device Brand"
        Call("nvmlDeviceGetBrand"), Text, All false;
    Serial 53 "DCGM_FI_DEV_SERIAL" label "Device Serial Number"
        Call("nvmlDeviceGetSerial"), Text, All false;
    OemInforomVersion 56 "DCGM_FI_DEV_OEM_INFOROM_VER" label "OEM inforom version"
        Call("nvmlDeviceGetInforomVersion"), Text, All false;
    ComputeMode 65 "DCGM_FI_DEV_COMPUTE_MODE" gauge "Compute mode: 0 default, 1 prohibited, 2 exclusive process."
        Call("nvmlDeviceGetComputeMode"), Same, All false;
    PersistenceMode 66 "DCGM_FI_DEV_PERSISTENCE_MODE" gauge "Whether persistence mode is on."
        Call("nvmlDeviceGetPersistenceMode"), Same, All false;
    MigMode 67 "DCGM_FI_DEV_MIG_MODE" gauge "Whether MIG mode is on."
        Call("nvmlDeviceGetMigMode"), Same, Ampere false;
    EccInforomVersion 80 "DCGM_FI_DEV_ECC_INFOROM_VER" label "ECC inforom version"
        Call("nvmlDeviceGetInforomVersion"), Text, All false;
    PowerInforomVersion 81 "DCGM_FI_DEV_POWER_INFOROM_VER" label "Power management object inforom version"
        Call("nvmlDeviceGetInforomVersion"), Text, All false;
    InforomImageVersion 82 "DCGM_FI_DEV_INFOROM_IMAGE_VER" label "Inforom image version"
        Call("nvmlDeviceGetInforomImageVersion"), Text, All false;
    VbiosVersion 85 "DCGM_FI_DEV_VBIOS_VERSION" label "VBIOS version of the device"
        Call("nvmlDeviceGetVbiosVersion"), Text, All false;
    Bar1Total 90 "DCGM_FI_DEV_BAR1_TOTAL" gauge "BAR1 memory total (in MiB)."
        Call("nvmlDeviceGetBAR1MemoryInfo"), BytesToMebibytes, All false;
    Bar1Used 92 "DCGM_FI_DEV_BAR1_USED" gauge "BAR1 memory used (in MiB)."
        Call("nvmlDeviceGetBAR1MemoryInfo"), BytesToMebibytes, All false;
    Bar1Free 93 "DCGM_FI_DEV_BAR1_FREE" gauge "BAR1 memory free (in MiB)."
        Call("nvmlDeviceGetBAR1MemoryInfo"), BytesToMebibytes, All false;
    GpmSupport 94 "DCGM_FI_DEV_GPM_SUPPORT" gauge "Whether the GPU has performance monitoring (GPM)."
        Call("nvmlGpmQueryDeviceSupport"), Same, All false;
    SmClock 100 "DCGM_FI_DEV_SM_CLOCK" gauge "SM clock frequency (in MHz)."
        Call("nvmlDeviceGetClockInfo"), Same, All true;
    MemClock 101 "DCGM_FI_DEV_MEM_CLOCK" gauge "Memory clock frequency (in MHz)."
        Call("nvmlDeviceGetClockInfo"), Same, All true;
    VideoClock 102 "DCGM_FI_DEV_VIDEO_CLOCK" gauge "Video encoder and decoder clock frequency (in MHz)."
        Call("nvmlDeviceGetClockInfo"), Same, All false;
    AppSmClock 110 "DCGM_FI_DEV_APP_SM_CLOCK" gauge "SM application clock (in MHz)."
        Call("nvmlDeviceGetApplicationsClock"), Same, All false;
    AppMemClock 111 "DCGM_FI_DEV_APP_MEM_CLOCK" gauge "Memory application clock (in MHz)."
        Call("nvmlDeviceGetApplicationsClock"), Same, All false;
    ClocksEventReasons 112 "DCGM_FI_DEV_CLOCKS_EVENT_REASONS" gauge "Why clocks are lowered, a bit for each reason."
        Call("nvmlDeviceGetCurrentClocksEventReasons"), Same, All false;
    MaxSmClock 113 "DCGM_FI_DEV_MAX_SM_CLOCK" gauge "Highest SM clock (in MHz)."
        Call("nvmlDeviceGetMaxClockInfo"), Same, All false;
    MaxMemClock 114 "DCGM_FI_DEV_MAX_MEM_CLOCK" gauge "Highest memory clock (in MHz)."
        Call("nvmlDeviceGetMaxClockInfo"), Same, All false;
    MaxVideoClock 115 "DCGM_FI_DEV_MAX_VIDEO_CLOCK" gauge "Highest video clock (in MHz)."
        Call("nvmlDeviceGetMaxClockInfo"), Same, All false;
    MemoryTemp 140 "DCGM_FI_DEV_MEMORY_TEMP" gauge "Memory temperature (in C)."
        FieldValue(82), Same, Volta true;
    GpuTemp 150 "DCGM_FI_DEV_GPU_TEMP" gauge "GPU temperature (in C)."
        Call("nvmlDeviceGetTemperature"), Same, All true;
    MemMaxOpTemp 151 "DCGM_FI_DEV_MEM_MAX_OP_TEMP" gauge "Highest operating temperature of memory (in C)."
        Call("nvmlDeviceGetTemperatureThreshold"), Same, Volta false;
    GpuMaxOpTemp 152 "DCGM_FI_DEV_GPU_MAX_OP_TEMP" gauge "Highest operating temperature of the GPU (in C)."
        Call("nvmlDeviceGetTemperatureThreshold"), Same, All false;
    GpuTempLimit 153 "DCGM_FI_DEV_GPU_TEMP_LIMIT" gauge "Thermal margin to the nearest slowdown threshold (in C)."
        Call("nvmlDeviceGetMarginTemperature"), Same, Ada false;
    PowerUsage 155 "DCGM_FI_DEV_POWER_USAGE" gauge "Power draw (in W)."
        Call("nvmlDeviceGetPowerUsage"), MilliwattsToWatts, All true;
    TotalEnergy 156 "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION" counter "Total energy consumption since boot (in mJ)."
        Call("nvmlDeviceGetTotalEnergyConsumption"), Same, Volta true;
    PowerInstant 157 "DCGM_FI_DEV_POWER_USAGE_INSTANT" gauge "Power draw at this instant (in W)."
        FieldValue(186), MilliwattsToWatts, Ampere false;
    SlowdownTemp 158 "DCGM_FI_DEV_SLOWDOWN_TEMP" gauge "Temperature at which the GPU slows down (in C)."
        Call("nvmlDeviceGetTemperatureThreshold"), Same, All false;
    ShutdownTemp 159 "DCGM_FI_DEV_SHUTDOWN_TEMP" gauge "Temperature at which the GPU shuts down (in C)."
        Call("nvmlDeviceGetTemperatureThreshold"), Same, All false;
    PowerLimit 160 "DCGM_FI_DEV_POWER_MGMT_LIMIT" gauge "Current power limit (in W)."
        Call("nvmlDeviceGetPowerManagementLimit"), MilliwattsToWatts, All false;
    PowerLimitMin 161 "DCGM_FI_DEV_POWER_MGMT_LIMIT_MIN" gauge "Lowest power limit that can be set (in W)."
        Call("nvmlDeviceGetPowerManagementLimitConstraints"), MilliwattsToWatts, All false;
    PowerLimitMax 162 "DCGM_FI_DEV_POWER_MGMT_LIMIT_MAX" gauge "Highest power limit that can be set (in W)."
        Call("nvmlDeviceGetPowerManagementLimitConstraints"), MilliwattsToWatts, All false;
    PowerLimitDefault 163 "DCGM_FI_DEV_POWER_MGMT_LIMIT_DEF" gauge "Default power limit (in W)."
        Call("nvmlDeviceGetPowerManagementDefaultLimit"), MilliwattsToWatts, All false;
    EnforcedPowerLimit 164 "DCGM_FI_DEV_ENFORCED_POWER_LIMIT" gauge "Power limit that the driver enforces (in W)."
        Call("nvmlDeviceGetEnforcedPowerLimit"), MilliwattsToWatts, All false;
    Pstate 190 "DCGM_FI_DEV_PSTATE" gauge "Performance state (P-State) 0-15."
        Call("nvmlDeviceGetPerformanceState"), Same, All false;
    FanSpeed 191 "DCGM_FI_DEV_FAN_SPEED" gauge "Fan speed for the device in percent 0-100."
        Call("nvmlDeviceGetFanSpeed"), Same, All false;
    PcieReplay 202 "DCGM_FI_DEV_PCIE_REPLAY_COUNTER" counter "Total number of PCIe retries."
        Call("nvmlDeviceGetPcieReplayCounter"), Same, All true;
    GpuUtil 203 "DCGM_FI_DEV_GPU_UTIL" gauge "GPU utilization (in %)."
        Call("nvmlDeviceGetUtilizationRates"), Same, All true;
    MemCopyUtil 204 "DCGM_FI_DEV_MEM_COPY_UTIL" gauge "Memory utilization (in %)."
        Call("nvmlDeviceGetUtilizationRates"), Same, All true;
    EncUtil 206 "DCGM_FI_DEV_ENC_UTIL" gauge "Encoder utilization (in %)."
        Call("nvmlDeviceGetEncoderUtilization"), Same, All true;
    DecUtil 207 "DCGM_FI_DEV_DEC_UTIL" gauge "Decoder utilization (in %)."
        Call("nvmlDeviceGetDecoderUtilization"), Same, All true;
    XidErrors 230 "DCGM_FI_DEV_XID_ERRORS" gauge "Value of the last XID error encountered."
        Event, Same, All true;
    PcieMaxLinkGen 235 "DCGM_FI_DEV_PCIE_MAX_LINK_GEN" gauge "Highest PCIe generation of the GPU and its slot."
        Call("nvmlDeviceGetMaxPcieLinkGeneration"), Same, All false;
    PcieMaxLinkWidth 236 "DCGM_FI_DEV_PCIE_MAX_LINK_WIDTH" gauge "Most PCIe lanes of the GPU and its slot."
        Call("nvmlDeviceGetMaxPcieLinkWidth"), Same, All false;
    PcieLinkGen 237 "DCGM_FI_DEV_PCIE_LINK_GEN" gauge "PCIe generation of the link."
        Call("nvmlDeviceGetCurrPcieLinkGeneration"), Same, All false;
    PcieLinkWidth 238 "DCGM_FI_DEV_PCIE_LINK_WIDTH" gauge "PCIe lanes of the link."
        Call("nvmlDeviceGetCurrPcieLinkWidth"), Same, All false;
    PowerViolation 240 "DCGM_FI_DEV_POWER_VIOLATION" counter "Throttling duration due to power constraints (in ns)."
        FieldValue(74), Same, All false;
    ThermalViolation 241 "DCGM_FI_DEV_THERMAL_VIOLATION" counter "Throttling duration due to thermal constraints (in ns)."
        FieldValue(75), Same, All false;
    SyncBoostViolation 242 "DCGM_FI_DEV_SYNC_BOOST_VIOLATION" counter "Throttling duration due to sync-boost constraints (in ns)."
        FieldValue(76), Same, All false;
    BoardLimitViolation 243 "DCGM_FI_DEV_BOARD_LIMIT_VIOLATION" counter "Throttling duration due to board limit constraints (in ns)."
        FieldValue(77), Same, All false;
    LowUtilViolation 244 "DCGM_FI_DEV_LOW_UTIL_VIOLATION" counter "Throttling duration due to low utilization (in ns)."
        FieldValue(78), Same, All false;
    ReliabilityViolation 245 "DCGM_FI_DEV_RELIABILITY_VIOLATION" counter "Throttling duration due to reliability constraints (in ns)."
        FieldValue(79), Same, All false;
    AppClocksViolation 246 "DCGM_FI_DEV_TOTAL_APP_CLOCKS_VIOLATION" counter "Duration below application clocks (in ns)."
        FieldValue(80), Same, All false;
    BaseClocksViolation 247 "DCGM_FI_DEV_TOTAL_BASE_CLOCKS_VIOLATION" counter "Duration below base clocks (in ns)."
        FieldValue(81), Same, All false;
    FbTotal 250 "DCGM_FI_DEV_FB_TOTAL" gauge "Framebuffer memory total (in MiB)."
        Call("nvmlDeviceGetMemoryInfo_v2"), BytesToMebibytes, All false;
    FbFree 251 "DCGM_FI_DEV_FB_FREE" gauge "Framebuffer memory free (in MiB)."
        Call("nvmlDeviceGetMemoryInfo_v2"), BytesToMebibytes, All true;
    FbUsed 252 "DCGM_FI_DEV_FB_USED" gauge "Framebuffer memory used (in MiB)."
        Call("nvmlDeviceGetMemoryInfo_v2"), BytesToMebibytes, All true;
    FbReserved 253 "DCGM_FI_DEV_FB_RESERVED" gauge "Framebuffer memory reserved (in MiB)."
        Call("nvmlDeviceGetMemoryInfo_v2"), BytesToMebibytes, All true;
    FbUsedPercent 254 "DCGM_FI_DEV_FB_USED_PERCENT" gauge "Ratio of framebuffer memory used, of what is not reserved."
        Call("nvmlDeviceGetMemoryInfo_v2"), Ratio, All false;
    EccCurrent 300 "DCGM_FI_DEV_ECC_CURRENT" gauge "Whether ECC is on."
        Call("nvmlDeviceGetEccMode"), Same, All false;
    EccPending 301 "DCGM_FI_DEV_ECC_PENDING" gauge "Whether ECC is on after the next reboot."
        Call("nvmlDeviceGetEccMode"), Same, All false;
    EccSbeVolatile 310 "DCGM_FI_DEV_ECC_SBE_VOL_TOTAL" counter "Total number of single-bit volatile ECC errors."
        FieldValue(3), Same, All false;
    EccDbeVolatile 311 "DCGM_FI_DEV_ECC_DBE_VOL_TOTAL" counter "Total number of double-bit volatile ECC errors."
        FieldValue(4), Same, All false;
    EccSbeAggregate 312 "DCGM_FI_DEV_ECC_SBE_AGG_TOTAL" counter "Total number of single-bit persistent ECC errors."
        FieldValue(5), Same, All false;
    EccDbeAggregate 313 "DCGM_FI_DEV_ECC_DBE_AGG_TOTAL" counter "Total number of double-bit persistent ECC errors."
        FieldValue(6), Same, All false;
    RetiredSbe 390 "DCGM_FI_DEV_RETIRED_SBE" counter "Total number of retired pages due to single-bit errors."
        FieldValue(29), Same, All false;
    RetiredDbe 391 "DCGM_FI_DEV_RETIRED_DBE" counter "Total number of retired pages due to double-bit errors."
        FieldValue(30), Same, All false;
    RetiredPending 392 "DCGM_FI_DEV_RETIRED_PENDING" counter "Total number of pages pending retirement."
        FieldValue(31), Same, All false;
    RemappedUncorrectable 393 "DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS" counter "Number of remapped rows for uncorrectable errors"
        FieldValue(143), Same, Ampere true;
    RemappedCorrectable 394 "DCGM_FI_DEV_CORRECTABLE_REMAPPED_ROWS" counter "Number of remapped rows for correctable errors"
        FieldValue(142), Same, Ampere true;
    RowRemapFailure 395 "DCGM_FI_DEV_ROW_REMAP_FAILURE" gauge "Whether remapping of rows has failed"
        FieldValue(145), Same, Ampere true;
    RowRemapPending 396 "DCGM_FI_DEV_ROW_REMAP_PENDING" gauge "Whether rows wait for a reset to be remapped."
        FieldValue(144), Same, Ampere false;
    NvLinkCrcFlit 409 "DCGM_FI_DEV_NVLINK_CRC_FLIT_ERROR_COUNT_TOTAL" counter "Total number of NVLink flow-control CRC errors."
        FieldValue(38), Same, NvLink false;
    NvLinkCrcData 419 "DCGM_FI_DEV_NVLINK_CRC_DATA_ERROR_COUNT_TOTAL" counter "Total number of NVLink data CRC errors."
        FieldValue(45), Same, NvLink false;
    NvLinkReplay 429 "DCGM_FI_DEV_NVLINK_REPLAY_ERROR_COUNT_TOTAL" counter "Total number of NVLink retries."
        FieldValue(52), Same, NvLink false;
    NvLinkRecovery 439 "DCGM_FI_DEV_NVLINK_RECOVERY_ERROR_COUNT_TOTAL" counter "Total number of NVLink recovery errors."
        FieldValue(59), Same, NvLink false;
    NvLinkBandwidthL0 440 "DCGM_FI_DEV_NVLINK_BANDWIDTH_L0" counter "The number of bytes of active NVLink rx or tx data including both header and payload."
        Call("nvmlDeviceGetFieldValues of link 0"), KibibytesToRate, NvLink false;
    NvLinkBandwidth 449 "DCGM_FI_DEV_NVLINK_BANDWIDTH_TOTAL" counter "Total number of NVLink bandwidth counters for all lanes."
        Call("nvmlDeviceGetFieldValues of all links"), KibibytesToRate, NvLink true;
    VgpuLicenseStatus 526 "DCGM_FI_DEV_VGPU_LICENSE_STATUS" gauge "vGPU License status"
        Call("nvmlDeviceGetGridLicensableFeatures_v4"), Same, All true;
    GrEngineActive 1001 "DCGM_FI_PROF_GR_ENGINE_ACTIVE" gauge "Ratio of time the graphics engine is active."
        Gpm(1), PercentToRatio, Hopper true;
    SmActive 1002 "DCGM_FI_PROF_SM_ACTIVE" gauge "The ratio of cycles an SM has at least 1 warp assigned."
        Gpm(2), PercentToRatio, Hopper false;
    SmOccupancy 1003 "DCGM_FI_PROF_SM_OCCUPANCY" gauge "The ratio of number of warps resident on an SM."
        Gpm(3), PercentToRatio, Hopper false;
    TensorActive 1004 "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE" gauge "Ratio of cycles the tensor (HMMA) pipe is active."
        Gpm(5), PercentToRatio, Hopper true;
    DramActive 1005 "DCGM_FI_PROF_DRAM_ACTIVE" gauge "Ratio of cycles the device memory interface is active sending or receiving data."
        Gpm(10), PercentToRatio, Hopper true;
    Fp64Active 1006 "DCGM_FI_PROF_PIPE_FP64_ACTIVE" gauge "Ratio of cycles the fp64 pipes are active."
        Gpm(11), PercentToRatio, Hopper false;
    Fp32Active 1007 "DCGM_FI_PROF_PIPE_FP32_ACTIVE" gauge "Ratio of cycles the fp32 pipes are active."
        Gpm(12), PercentToRatio, Hopper false;
    Fp16Active 1008 "DCGM_FI_PROF_PIPE_FP16_ACTIVE" gauge "Ratio of cycles the fp16 pipes are active."
        Gpm(13), PercentToRatio, Hopper false;
    PcieTx 1009 "DCGM_FI_PROF_PCIE_TX_BYTES" gauge "The rate of data transmitted over the PCIe bus - including both protocol headers and data payloads - in bytes per second."
        Gpm(20), MebibytesToBytes, Hopper true;
    PcieRx 1010 "DCGM_FI_PROF_PCIE_RX_BYTES" gauge "The rate of data received over the PCIe bus - including both protocol headers and data payloads - in bytes per second."
        Gpm(21), MebibytesToBytes, Hopper true;
    NvLinkTx 1011 "DCGM_FI_PROF_NVLINK_TX_BYTES" gauge "The rate of data transmitted over NVLink, not including protocol headers, in bytes per second."
        Gpm(61), MebibytesToBytes, Hopper false;
    NvLinkRx 1012 "DCGM_FI_PROF_NVLINK_RX_BYTES" gauge "The rate of data received over NVLink, not including protocol headers, in bytes per second."
        Gpm(60), MebibytesToBytes, Hopper false;
    TensorImmaActive 1013 "DCGM_FI_PROF_PIPE_TENSOR_IMMA_ACTIVE" gauge "Ratio of cycles the tensor (IMMA) pipe is active."
        Gpm(9), PercentToRatio, Hopper false;
    TensorHmmaActive 1014 "DCGM_FI_PROF_PIPE_TENSOR_HMMA_ACTIVE" gauge "Ratio of cycles the tensor (HMMA) pipe is active."
        Gpm(7), PercentToRatio, Hopper false;
    TensorDfmaActive 1015 "DCGM_FI_PROF_PIPE_TENSOR_DFMA_ACTIVE" gauge "Ratio of cycles the tensor (DFMA) pipe is active."
        Gpm(6), PercentToRatio, Hopper false;
    IntActive 1016 "DCGM_FI_PROF_PIPE_INT_ACTIVE" gauge "Ratio of cycles the integer pipe is active."
        Gpm(4), PercentToRatio, Hopper false;
    Nvdec0Active 1017 "DCGM_FI_PROF_NVDEC0_ACTIVE" gauge "Ratio of time video decoder 0 is active."
        Gpm(30), PercentToRatio, Hopper false;
    Nvdec1Active 1018 "DCGM_FI_PROF_NVDEC1_ACTIVE" gauge "Ratio of time video decoder 1 is active."
        Gpm(31), PercentToRatio, Hopper false;
    Nvdec2Active 1019 "DCGM_FI_PROF_NVDEC2_ACTIVE" gauge "Ratio of time video decoder 2 is active."
        Gpm(32), PercentToRatio, Hopper false;
    Nvdec3Active 1020 "DCGM_FI_PROF_NVDEC3_ACTIVE" gauge "Ratio of time video decoder 3 is active."
        Gpm(33), PercentToRatio, Hopper false;
    Nvdec4Active 1021 "DCGM_FI_PROF_NVDEC4_ACTIVE" gauge "Ratio of time video decoder 4 is active."
        Gpm(34), PercentToRatio, Hopper false;
    Nvdec5Active 1022 "DCGM_FI_PROF_NVDEC5_ACTIVE" gauge "Ratio of time video decoder 5 is active."
        Gpm(35), PercentToRatio, Hopper false;
    Nvdec6Active 1023 "DCGM_FI_PROF_NVDEC6_ACTIVE" gauge "Ratio of time video decoder 6 is active."
        Gpm(36), PercentToRatio, Hopper false;
    Nvdec7Active 1024 "DCGM_FI_PROF_NVDEC7_ACTIVE" gauge "Ratio of time video decoder 7 is active."
        Gpm(37), PercentToRatio, Hopper false;
    Nvjpg0Active 1025 "DCGM_FI_PROF_NVJPG0_ACTIVE" gauge "Ratio of time JPEG decoder 0 is active."
        Gpm(40), PercentToRatio, Hopper false;
    Nvjpg1Active 1026 "DCGM_FI_PROF_NVJPG1_ACTIVE" gauge "Ratio of time JPEG decoder 1 is active."
        Gpm(41), PercentToRatio, Hopper false;
    Nvjpg2Active 1027 "DCGM_FI_PROF_NVJPG2_ACTIVE" gauge "Ratio of time JPEG decoder 2 is active."
        Gpm(42), PercentToRatio, Hopper false;
    Nvjpg3Active 1028 "DCGM_FI_PROF_NVJPG3_ACTIVE" gauge "Ratio of time JPEG decoder 3 is active."
        Gpm(43), PercentToRatio, Hopper false;
    Nvjpg4Active 1029 "DCGM_FI_PROF_NVJPG4_ACTIVE" gauge "Ratio of time JPEG decoder 4 is active."
        Gpm(44), PercentToRatio, Hopper false;
    Nvjpg5Active 1030 "DCGM_FI_PROF_NVJPG5_ACTIVE" gauge "Ratio of time JPEG decoder 5 is active."
        Gpm(45), PercentToRatio, Hopper false;
    Nvjpg6Active 1031 "DCGM_FI_PROF_NVJPG6_ACTIVE" gauge "Ratio of time JPEG decoder 6 is active."
        Gpm(46), PercentToRatio, Hopper false;
    Nvjpg7Active 1032 "DCGM_FI_PROF_NVJPG7_ACTIVE" gauge "Ratio of time JPEG decoder 7 is active."
        Gpm(47), PercentToRatio, Hopper false;
    Nvofa0Active 1033 "DCGM_FI_PROF_NVOFA0_ACTIVE" gauge "Ratio of time optical flow accelerator 0 is active."
        Gpm(50), PercentToRatio, Hopper false;
    Nvofa1Active 1034 "DCGM_FI_PROF_NVOFA1_ACTIVE" gauge "Ratio of time optical flow accelerator 1 is active."
        Gpm(51), PercentToRatio, Hopper false;
    NvLinkTransmit 60000 "perdura_gpu_nvlink_transmit_bytes_total" counter "Payload bytes sent over all NVLinks of the GPU since the driver was loaded."
        Call("nvmlDeviceGetFieldValues of all links"), KibibytesToBytes, NvLink true;
    NvLinkReceive 60001 "perdura_gpu_nvlink_receive_bytes_total" counter "Payload bytes received over all NVLinks of the GPU since the driver was loaded."
        Call("nvmlDeviceGetFieldValues of all links"), KibibytesToBytes, NvLink true;
}

//! The fields: one list with name, type, help, where NVML has the value, and how it is converted.
//!
//! Names, types, help texts and numbers are those of DCGM and of the DCGM exporter's `default-counters.csv`, so that
//! dashboards and rules go on as they are. The exporter writes families in the order of the numbers; so does the list.
//!
//! What only DCGM can tell, and is not here: `DCGM_FI_PROF_*` before Hopper (its profiling module is proprietary),
//! `DCGM_FI_DEV_VGPU_LICENSE_STATUS`, the health watches and diagnostics (`DCGM_EXP_GPU_HEALTH_STATUS`,
//! `DCGM_FI_DEV_DIAG_*`), NVSwitch, and the exporter's windows over XIDs and clock events.

/// Where NVML has a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A call of its own.
    Call(&'static str),
    /// `nvmlDeviceGetFieldValues` with this id.
    FieldValue(u32),
    /// `nvmlGpmMetricsGet` with this metric, between two samples of the GPU (Hopper and later).
    Gpm(u32),
    /// `nvmlEventSetWait` with XID events.
    Event,
}

/// How a value is turned into the field's unit, and how it is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// An integer as NVML has it.
    Same,
    /// Milliwatts to watts, a float.
    MilliwattsToWatts,
    /// Bytes to whole MiB.
    BytesToMebibytes,
    /// KiB to bytes.
    KibibytesToBytes,
    /// Growth of a count of KiB, per second, by 1,000: what DCGM calls a total is a rate in MB/s.
    KibibytesToRate,
    /// Percent to a ratio of 0 to 1, a float.
    PercentToRatio,
    /// MiB per second to bytes per second.
    MebibytesToBytes,
    /// A text that becomes a label of all other series.
    Text,
}

/// Generations of GPUs that have a field, as far as NVIDIA's documents tell; a GPU that lacks it leaves it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generations {
    /// All that NVML serves in full.
    All,
    /// Volta and later.
    Volta,
    /// Ampere and later with HBM, or with ECC on.
    Ampere,
    /// Those with NVLink: Pascal and later, data-centre parts.
    NvLink,
    /// Hopper and later.
    Hopper,
}

/// One field of the list.
#[derive(Clone, Copy, Debug)]
pub struct FieldInfo {
    /// Which.
    pub field: Field,
    /// DCGM's number; ours begin at 60,000.
    pub id: u16,
    /// Name of the metric family.
    pub name: &'static str,
    /// Type as counters files have it: `gauge`, `counter` or `label`.
    pub metric_type: &'static str,
    /// The family's help text.
    pub help: &'static str,
    /// Where the value comes from.
    pub origin: Origin,
    /// What happens to it.
    pub unit: Unit,
    /// Who has it.
    pub generations: Generations,
    /// Whether it is collected where no counters file says otherwise.
    pub is_default: bool,
}

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

use Origin::{Call, Event, FieldValue, Gpm};

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
    EccInforomVersion 80 "DCGM_FI_DEV_ECC_INFOROM_VER" label "ECC inforom version"
        Call("nvmlDeviceGetInforomVersion"), Text, All false;
    PowerInforomVersion 81 "DCGM_FI_DEV_POWER_INFOROM_VER" label "Power management object inforom version"
        Call("nvmlDeviceGetInforomVersion"), Text, All false;
    InforomImageVersion 82 "DCGM_FI_DEV_INFOROM_IMAGE_VER" label "Inforom image version"
        Call("nvmlDeviceGetInforomImageVersion"), Text, All false;
    VbiosVersion 85 "DCGM_FI_DEV_VBIOS_VERSION" label "VBIOS version of the device"
        Call("nvmlDeviceGetVbiosVersion"), Text, All false;
    SmClock 100 "DCGM_FI_DEV_SM_CLOCK" gauge "SM clock frequency (in MHz)."
        Call("nvmlDeviceGetClockInfo"), Same, All true;
    MemClock 101 "DCGM_FI_DEV_MEM_CLOCK" gauge "Memory clock frequency (in MHz)."
        Call("nvmlDeviceGetClockInfo"), Same, All true;
    MemoryTemp 140 "DCGM_FI_DEV_MEMORY_TEMP" gauge "Memory temperature (in C)."
        FieldValue(82), Same, Volta true;
    GpuTemp 150 "DCGM_FI_DEV_GPU_TEMP" gauge "GPU temperature (in C)."
        Call("nvmlDeviceGetTemperature"), Same, All true;
    PowerUsage 155 "DCGM_FI_DEV_POWER_USAGE" gauge "Power draw (in W)."
        Call("nvmlDeviceGetPowerUsage"), MilliwattsToWatts, All true;
    TotalEnergy 156 "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION" counter "Total energy consumption since boot (in mJ)."
        Call("nvmlDeviceGetTotalEnergyConsumption"), Same, Volta true;
    PowerLimit 160 "DCGM_FI_DEV_POWER_MGMT_LIMIT" gauge "Current power limit (in W)."
        Call("nvmlDeviceGetPowerManagementLimit"), MilliwattsToWatts, All false;
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
    FbTotal 250 "DCGM_FI_DEV_FB_TOTAL" gauge "Framebuffer memory total (in MiB)."
        Call("nvmlDeviceGetMemoryInfo_v2"), BytesToMebibytes, All false;
    FbFree 251 "DCGM_FI_DEV_FB_FREE" gauge "Framebuffer memory free (in MiB)."
        Call("nvmlDeviceGetMemoryInfo_v2"), BytesToMebibytes, All true;
    FbUsed 252 "DCGM_FI_DEV_FB_USED" gauge "Framebuffer memory used (in MiB)."
        Call("nvmlDeviceGetMemoryInfo_v2"), BytesToMebibytes, All true;
    FbReserved 253 "DCGM_FI_DEV_FB_RESERVED" gauge "Framebuffer memory reserved (in MiB)."
        Call("nvmlDeviceGetMemoryInfo_v2"), BytesToMebibytes, All true;
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
    NvLinkCrcFlit 409 "DCGM_FI_DEV_NVLINK_CRC_FLIT_ERROR_COUNT_TOTAL" counter "Total number of NVLink flow-control CRC errors."
        FieldValue(38), Same, NvLink false;
    NvLinkCrcData 419 "DCGM_FI_DEV_NVLINK_CRC_DATA_ERROR_COUNT_TOTAL" counter "Total number of NVLink data CRC errors."
        FieldValue(45), Same, NvLink false;
    NvLinkReplay 429 "DCGM_FI_DEV_NVLINK_REPLAY_ERROR_COUNT_TOTAL" counter "Total number of NVLink retries."
        FieldValue(52), Same, NvLink false;
    NvLinkRecovery 439 "DCGM_FI_DEV_NVLINK_RECOVERY_ERROR_COUNT_TOTAL" counter "Total number of NVLink recovery errors."
        FieldValue(59), Same, NvLink false;
    NvLinkBandwidth 449 "DCGM_FI_DEV_NVLINK_BANDWIDTH_TOTAL" counter "Total number of NVLink bandwidth counters for all lanes."
        Call("nvmlDeviceGetFieldValues of all links"), KibibytesToRate, NvLink true;
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
    NvLinkTransmit 60000 "perdura_gpu_nvlink_transmit_bytes_total" counter "Payload bytes sent over all NVLinks of the GPU since the driver was loaded."
        Call("nvmlDeviceGetFieldValues of all links"), KibibytesToBytes, NvLink true;
    NvLinkReceive 60001 "perdura_gpu_nvlink_receive_bytes_total" counter "Payload bytes received over all NVLinks of the GPU since the driver was loaded."
        Call("nvmlDeviceGetFieldValues of all links"), KibibytesToBytes, NvLink true;
}

/// How many fields there are.
pub const FIELD_COUNT: usize = FIELDS.len();

const _: () = assert!(FIELD_COUNT <= 128, "a set of fields fits into a word");

impl Field {
    /// What the list says of it.
    pub fn info(self) -> &'static FieldInfo {
        &FIELDS[self as usize]
    }

    /// The field of a name.
    pub fn by_name(name: &str) -> Option<Self> {
        FIELDS.iter().find(|info| info.name == name).map(|info| info.field)
    }
}

/// Some of the fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FieldSet(u128);

impl FieldSet {
    /// Whether a field is among them.
    pub fn has(self, field: Field) -> bool {
        self.0 & (1 << (field as u8)) != 0
    }

    /// The fields of both.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What the list says of them, in its order.
    pub fn infos(self) -> impl Iterator<Item = &'static FieldInfo> {
        FIELDS.iter().filter(move |info| self.has(info.field))
    }
}

impl FromIterator<Field> for FieldSet {
    fn from_iter<T: IntoIterator<Item = Field>>(fields: T) -> Self {
        Self(fields.into_iter().fold(0, |set, field| set | 1 << (field as u8)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_in_the_order_of_its_numbers() {
        assert!(FIELDS.is_sorted_by(|a, b| a.id < b.id));
        assert!(FIELDS.iter().enumerate().all(|(place, info)| info.field as usize == place));
        assert!(FIELDS.iter().all(|info| Field::by_name(info.name) == Some(info.field)));
    }

    #[test]
    fn sets_hold_what_they_are_given() {
        let set: FieldSet = [Field::SmClock, Field::NvLinkReceive].into_iter().collect();
        assert!(set.has(Field::SmClock) && set.has(Field::NvLinkReceive) && !set.has(Field::MemClock));
        assert_eq!(set.infos().map(|info| info.id).collect::<Vec<_>>(), [100, 60_001]);
    }

    #[test]
    fn ratios_and_watts_are_floats_and_the_rest_whole() {
        for info in FIELDS {
            let is_text = info.unit == Unit::Text;
            assert_eq!(info.metric_type == "label", is_text, "{}", info.name);
            if info.name.ends_with("_ACTIVE") || info.name.ends_with("_OCCUPANCY") {
                assert_eq!(info.unit, Unit::PercentToRatio, "{}", info.name);
            }
        }
    }
}

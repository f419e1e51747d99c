//! Other names of fields: those of DCGM 4.6 and later, and those of exporters before 2.0. A counters file may use any.

use super::{FIELDS, Field};

/// The name that DCGM 4.6 and later give a field; its own where that did not change.
pub fn renamed(field: Field) -> &'static str {
    let found = RENAMED.iter().find(|(of, _)| *of == field);
    found.map_or(FIELDS[field as usize].name, |(_, name)| name)
}

/// The field of one of these names, and the name.
pub(super) fn by_name(name: &str) -> Option<(Field, &'static str)> {
    RENAMED.iter().chain(OLD).find(|(_, other)| *other == name).copied()
}

/// By number. From `dcgm_fields.h`, which keeps the names before as aliases.
const RENAMED: &[(Field, &str)] = &[
    (Field::DriverVersion, "DCGM_FI_SYSTEM_DRIVER_VERSION"),
    (Field::NvmlVersion, "DCGM_FI_SYSTEM_NVML_VERSION"),
    (Field::Brand, "DCGM_FI_DEV_GPU_BRAND"),
    (Field::Serial, "DCGM_FI_DEV_BOARD_SERIAL"),
    (Field::OemInforomVersion, "DCGM_FI_DEV_INFOROM_OEM_VERSION"),
    (Field::ComputeMode, "DCGM_FI_DEV_GPU_COMPUTE_MODE"),
    (Field::PersistenceMode, "DCGM_FI_DEV_GPU_PERSISTENCE_MODE"),
    (Field::EccInforomVersion, "DCGM_FI_DEV_INFOROM_ECC_VERSION"),
    (Field::PowerInforomVersion, "DCGM_FI_DEV_INFOROM_POWER_VERSION"),
    (Field::InforomImageVersion, "DCGM_FI_DEV_INFOROM_IMAGE_VERSION"),
    (Field::MemoryTemp, "DCGM_FI_DEV_MEMORY_TEMP_CELSIUS"),
    (Field::GpuTemp, "DCGM_FI_DEV_GPU_TEMP_CELSIUS"),
    (Field::MemMaxOpTemp, "DCGM_FI_DEV_MEMORY_MAX_OP_TEMP_CELSIUS"),
    (Field::GpuMaxOpTemp, "DCGM_FI_DEV_GPU_MAX_OP_TEMP_CELSIUS"),
    (Field::GpuTempLimit, "DCGM_FI_DEV_GPU_TEMP_MARGIN_CELSIUS"),
    (Field::PowerUsage, "DCGM_FI_DEV_BOARD_POWER_WATTS"),
    (Field::PowerInstant, "DCGM_FI_DEV_BOARD_POWER_RAW_WATTS"),
    (Field::SlowdownTemp, "DCGM_FI_DEV_GPU_TEMP_SLOWDOWN_CELSIUS"),
    (Field::ShutdownTemp, "DCGM_FI_DEV_GPU_TEMP_SHUTDOWN_CELSIUS"),
    (Field::PowerLimit, "DCGM_FI_DEV_BOARD_POWER_LIMIT_REQUESTED_WATTS"),
    (Field::PowerLimitMin, "DCGM_FI_DEV_BOARD_POWER_LIMIT_MIN_WATTS"),
    (Field::PowerLimitMax, "DCGM_FI_DEV_BOARD_POWER_LIMIT_MAX_WATTS"),
    (Field::PowerLimitDefault, "DCGM_FI_DEV_BOARD_POWER_LIMIT_DEFAULT_WATTS"),
    (Field::EnforcedPowerLimit, "DCGM_FI_DEV_BOARD_POWER_LIMIT_ENFORCED_WATTS"),
    (Field::Pstate, "DCGM_FI_DEV_GPU_PSTATE"),
    (Field::PcieReplay, "DCGM_FI_DEV_PCIE_REPLAY_TOTAL"),
    (Field::GpuUtil, "DCGM_FI_DEV_GPU_UTIL_RATIO"),
    (Field::XidErrors, "DCGM_FI_DEV_XID_ERROR"),
    (Field::FbUsedPercent, "DCGM_FI_DEV_FB_USED_RATIO"),
    (Field::EccCurrent, "DCGM_FI_DEV_ECC_MODE"),
    (Field::RetiredSbe, "DCGM_FI_DEV_PAGE_RETIRED_SBE_TOTAL"),
    (Field::RetiredDbe, "DCGM_FI_DEV_PAGE_RETIRED_DBE_TOTAL"),
    (Field::RetiredPending, "DCGM_FI_DEV_PAGE_RETIRED_PENDING"),
    (Field::RemappedUncorrectable, "DCGM_FI_DEV_ROW_REMAP_UNCORRECTABLE_TOTAL"),
    (Field::RemappedCorrectable, "DCGM_FI_DEV_ROW_REMAP_CORRECTABLE_TOTAL"),
    (Field::RowRemapFailure, "DCGM_FI_DEV_ROW_REMAP_FAILED"),
    (Field::NvLinkCrcFlit, "DCGM_FI_DEV_NVLINK_CRC_FLIT_ERROR_TOTAL"),
    (Field::NvLinkCrcData, "DCGM_FI_DEV_NVLINK_CRC_DATA_ERROR_TOTAL"),
    (Field::NvLinkReplay, "DCGM_FI_DEV_NVLINK_REPLAY_ERROR_TOTAL"),
    (Field::NvLinkRecovery, "DCGM_FI_DEV_NVLINK_RECOVERY_ERROR_TOTAL"),
    (Field::NvLinkBandwidthL0, "DCGM_FI_DEV_NVLINK_THROUGHPUT_L0"),
    (Field::NvLinkBandwidth, "DCGM_FI_DEV_NVLINK_THROUGHPUT_TOTAL"),
    (Field::GrEngineActive, "DCGM_FI_PROF_GR_ENGINE_UTIL_RATIO"),
    (Field::SmActive, "DCGM_FI_PROF_SM_UTIL_RATIO"),
    (Field::SmOccupancy, "DCGM_FI_PROF_SM_OCCUPANCY_RATIO"),
    (Field::TensorActive, "DCGM_FI_PROF_TENSOR_UTIL_RATIO"),
    (Field::DramActive, "DCGM_FI_PROF_DRAM_UTIL_RATIO"),
    (Field::Fp64Active, "DCGM_FI_PROF_FP64_UTIL_RATIO"),
    (Field::Fp32Active, "DCGM_FI_PROF_FP32_UTIL_RATIO"),
    (Field::Fp16Active, "DCGM_FI_PROF_FP16_UTIL_RATIO"),
    (Field::TensorImmaActive, "DCGM_FI_PROF_IMMA_UTIL_RATIO"),
    (Field::TensorHmmaActive, "DCGM_FI_PROF_HMMA_UTIL_RATIO"),
    (Field::TensorDfmaActive, "DCGM_FI_PROF_DFMA_UTIL_RATIO"),
    (Field::IntActive, "DCGM_FI_PROF_INT_UTIL_RATIO"),
    (Field::Nvdec0Active, "DCGM_FI_PROF_NVDEC_UTIL_0_RATIO"),
    (Field::Nvdec1Active, "DCGM_FI_PROF_NVDEC_UTIL_1_RATIO"),
    (Field::Nvdec2Active, "DCGM_FI_PROF_NVDEC_UTIL_2_RATIO"),
    (Field::Nvdec3Active, "DCGM_FI_PROF_NVDEC_UTIL_3_RATIO"),
    (Field::Nvdec4Active, "DCGM_FI_PROF_NVDEC_UTIL_4_RATIO"),
    (Field::Nvdec5Active, "DCGM_FI_PROF_NVDEC_UTIL_5_RATIO"),
    (Field::Nvdec6Active, "DCGM_FI_PROF_NVDEC_UTIL_6_RATIO"),
    (Field::Nvdec7Active, "DCGM_FI_PROF_NVDEC_UTIL_7_RATIO"),
    (Field::Nvjpg0Active, "DCGM_FI_PROF_NVJPG_UTIL_0_RATIO"),
    (Field::Nvjpg1Active, "DCGM_FI_PROF_NVJPG_UTIL_1_RATIO"),
    (Field::Nvjpg2Active, "DCGM_FI_PROF_NVJPG_UTIL_2_RATIO"),
    (Field::Nvjpg3Active, "DCGM_FI_PROF_NVJPG_UTIL_3_RATIO"),
    (Field::Nvjpg4Active, "DCGM_FI_PROF_NVJPG_UTIL_4_RATIO"),
    (Field::Nvjpg5Active, "DCGM_FI_PROF_NVJPG_UTIL_5_RATIO"),
    (Field::Nvjpg6Active, "DCGM_FI_PROF_NVJPG_UTIL_6_RATIO"),
    (Field::Nvjpg7Active, "DCGM_FI_PROF_NVJPG_UTIL_7_RATIO"),
    (Field::Nvofa0Active, "DCGM_FI_PROF_NVOFA_UTIL_0_RATIO"),
    (Field::Nvofa1Active, "DCGM_FI_PROF_NVOFA_UTIL_1_RATIO"),
];

/// From the exporter's `1.x-compatibility-metrics.csv`, and what `DCGM_FI_DEV_CLOCKS_EVENT_REASONS` was called.
const OLD: &[(Field, &str)] = &[
    (Field::SmClock, "dcgm_sm_clock"),
    (Field::MemClock, "dcgm_memory_clock"),
    (Field::ClocksEventReasons, "DCGM_FI_DEV_CLOCK_THROTTLE_REASONS"),
    (Field::MemoryTemp, "dcgm_memory_temp"),
    (Field::GpuTemp, "dcgm_gpu_temp"),
    (Field::PowerUsage, "dcgm_power_usage"),
    (Field::TotalEnergy, "dcgm_total_energy_consumption"),
    (Field::PcieReplay, "dcgm_pcie_replay_counter"),
    (Field::GpuUtil, "dcgm_gpu_utilization"),
    (Field::MemCopyUtil, "dcgm_mem_copy_utilization"),
    (Field::EncUtil, "dcgm_enc_utilization"),
    (Field::DecUtil, "dcgm_dec_utilization"),
    (Field::XidErrors, "dcgm_xid_errors"),
    (Field::PowerViolation, "dcgm_power_violation"),
    (Field::ThermalViolation, "dcgm_thermal_violation"),
    (Field::SyncBoostViolation, "dcgm_sync_boost_violation"),
    (Field::BoardLimitViolation, "dcgm_board_limit_violation"),
    (Field::LowUtilViolation, "dcgm_low_util_violation"),
    (Field::ReliabilityViolation, "dcgm_reliability_violation"),
    (Field::FbFree, "dcgm_fb_free"),
    (Field::FbUsed, "dcgm_fb_used"),
    (Field::EccSbeVolatile, "dcgm_ecc_sbe_volatile_total"),
    (Field::EccDbeVolatile, "dcgm_ecc_dbe_volatile_total"),
    (Field::EccSbeAggregate, "dcgm_ecc_sbe_aggregate_total"),
    (Field::EccDbeAggregate, "dcgm_ecc_dbe_aggregate_total"),
    (Field::RetiredSbe, "dcgm_retired_pages_sbe"),
    (Field::RetiredDbe, "dcgm_retired_pages_dbe"),
    (Field::RetiredPending, "dcgm_retired_pages_pending"),
    (Field::NvLinkCrcFlit, "dcgm_nvlink_flit_crc_error_count_total"),
    (Field::NvLinkCrcData, "dcgm_nvlink_data_crc_error_count_total"),
    (Field::NvLinkReplay, "dcgm_nvlink_replay_error_count_total"),
    (Field::NvLinkRecovery, "dcgm_nvlink_recovery_error_count_total"),
    (Field::NvLinkBandwidth, "dcgm_nvlink_bandwidth_total"),
    (Field::GrEngineActive, "dcgm_fi_prof_gr_engine_active"),
    (Field::SmActive, "dcgm_fi_prof_sm_active"),
    (Field::SmOccupancy, "dcgm_fi_prof_sm_occupancy"),
    (Field::TensorActive, "dcgm_fi_prof_pipe_tensor_active"),
    (Field::DramActive, "dcgm_fi_prof_dram_active"),
    (Field::PcieTx, "dcgm_fi_prof_pcie_tx_bytes"),
    (Field::PcieRx, "dcgm_fi_prof_pcie_rx_bytes"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_of_one_field() {
        let own = FIELDS.iter().map(|info| info.name);
        let names: Vec<&str> = own.chain(RENAMED.iter().chain(OLD).map(|(_, name)| *name)).collect();
        let distinct: std::collections::BTreeSet<&str> = names.iter().copied().collect();
        assert_eq!(distinct.len(), names.len());
        assert_eq!(Field::by_name("dcgm_gpu_temp"), Some((Field::GpuTemp, "dcgm_gpu_temp")));
        assert_eq!(renamed(Field::PowerUsage), "DCGM_FI_DEV_BOARD_POWER_WATTS");
        assert_eq!(renamed(Field::SmClock), "DCGM_FI_DEV_SM_CLOCK");
    }
}

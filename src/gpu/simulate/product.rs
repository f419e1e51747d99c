//! The products that are simulated, with what NVIDIA's documents and their drivers say of them.

/// A product, whole or cut by MIG.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Model {
    /// H100 SXM with 80 GB.
    H100,
    /// H200 SXM with 141 GB.
    H200,
    /// A100 SXM with 80 GB.
    A100,
    /// L40S, a PCIe card.
    L40s,
    /// H100 in MIG mode.
    H100Mig,
    /// A100 in MIG mode.
    A100Mig,
}

impl Model {
    /// All, with the names that they are asked for by.
    pub const NAMES: [(&'static str, Self); 6] = [
        ("h100", Self::H100),
        ("h200", Self::H200),
        ("a100", Self::A100),
        ("l40s", Self::L40s),
        ("h100-mig", Self::H100Mig),
        ("a100-mig", Self::A100Mig),
    ];

    pub(super) fn product(self) -> &'static Product {
        match self {
            Self::H100 | Self::H100Mig => &H100,
            Self::H200 => &H200,
            Self::A100 | Self::A100Mig => &A100,
            Self::L40s => &L40S,
        }
    }

    /// The slices; none of a GPU that is whole.
    pub(super) fn slices(self) -> &'static [Slice] {
        match self {
            Self::H100Mig => &H100_SLICES,
            Self::A100Mig => &A100_SLICES,
            Self::H100 | Self::H200 | Self::A100 | Self::L40s => &[],
        }
    }
}

impl std::str::FromStr for Model {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::NAMES.iter().find(|(name, _)| *name == text);
        known.map(|(_, model)| *model).ok_or_else(|| {
            let names: Vec<&str> = Self::NAMES.iter().map(|(name, _)| *name).collect();
            format!("{text:?} is not one of {}", names.join(", "))
        })
    }
}

/// What all GPUs of a product have in common.
#[derive(Debug)]
pub(super) struct Product {
    pub(super) name: &'static str,
    pub(super) vbios: &'static str,
    pub(super) memory_mib: u32,
    pub(super) reserved_mib: u32,
    pub(super) limit_w: f64,
    pub(super) idle_w: f64,
    /// Hottest that a GPU in order becomes, under all the load that there is.
    pub(super) full_load_c: f64,
    /// Where clocks are lowered.
    pub(super) slowdown_c: f64,
    pub(super) sm_mhz_max: f64,
    pub(super) sm_mhz_idle: f64,
    pub(super) memory_mhz: u32,
    /// Whether the memory's temperature is told.
    pub(super) has_memory_temp: bool,
    /// Payload of all NVLinks one way, in bytes per second, under the heaviest load; none without NVLink.
    pub(super) nvlink_bytes: Option<f64>,
    /// Whether it has GPU performance monitoring, which is where `DCGM_FI_PROF_*` come from.
    pub(super) has_gpm: bool,
    /// Payload of PCIe one way, in bytes per second, under the heaviest load.
    pub(super) pcie_bytes: f64,
    /// Bus numbers in a machine of eight.
    pub(super) buses: [u8; 8],
}

/// A GPU instance of a GPU in MIG mode.
#[derive(Debug)]
pub(super) struct Slice {
    pub(super) profile: &'static str,
    pub(super) gpu_instance_id: u32,
    /// Sevenths of the GPU's computing.
    pub(super) sevenths: u32,
    pub(super) memory_mib: u32,
    pub(super) reserved_mib: u32,
}

const HGX_BUSES: [u8; 8] = [0x1b, 0x43, 0x52, 0x61, 0x9d, 0xc3, 0xd1, 0xdf];

static H100: Product = Product {
    name: "NVIDIA H100 80GB HBM3",
    vbios: "96.00.A5.00.01",
    memory_mib: 81_559,
    reserved_mib: 479,
    limit_w: 700.0,
    idle_w: 72.0,
    full_load_c: 67.0,
    slowdown_c: 87.0,
    sm_mhz_max: 1_980.0,
    sm_mhz_idle: 345.0,
    memory_mhz: 2_619,
    has_memory_temp: true,
    nvlink_bytes: Some(180e9),
    has_gpm: true,
    pcie_bytes: 22e9,
    buses: HGX_BUSES,
};

static H200: Product = Product {
    name: "NVIDIA H200",
    vbios: "96.00.A5.00.03",
    memory_mib: 143_771,
    reserved_mib: 614,
    limit_w: 700.0,
    idle_w: 77.0,
    full_load_c: 69.0,
    slowdown_c: 87.0,
    sm_mhz_max: 1_980.0,
    sm_mhz_idle: 345.0,
    memory_mhz: 3_201,
    has_memory_temp: true,
    nvlink_bytes: Some(180e9),
    has_gpm: true,
    pcie_bytes: 22e9,
    buses: HGX_BUSES,
};

static A100: Product = Product {
    name: "NVIDIA A100-SXM4-80GB",
    vbios: "92.00.45.00.03",
    memory_mib: 81_920,
    reserved_mib: 770,
    limit_w: 400.0,
    idle_w: 58.0,
    full_load_c: 66.0,
    slowdown_c: 85.0,
    sm_mhz_max: 1_410.0,
    sm_mhz_idle: 210.0,
    memory_mhz: 1_593,
    has_memory_temp: true,
    nvlink_bytes: Some(110e9),
    has_gpm: false,
    pcie_bytes: 12e9,
    buses: [0x07, 0x0f, 0x47, 0x4e, 0x87, 0x90, 0xb7, 0xbd],
};

static L40S: Product = Product {
    name: "NVIDIA L40S",
    vbios: "95.02.66.00.02",
    memory_mib: 46_068,
    reserved_mib: 609,
    limit_w: 350.0,
    idle_w: 34.0,
    full_load_c: 74.0,
    slowdown_c: 88.0,
    sm_mhz_max: 2_520.0,
    sm_mhz_idle: 210.0,
    memory_mhz: 9_001,
    has_memory_temp: false,
    nvlink_bytes: None,
    has_gpm: false,
    pcie_bytes: 14e9,
    buses: [0x16, 0x38, 0x49, 0x5a, 0x98, 0xb8, 0xc8, 0xd8],
};

const fn slice(profile: &'static str, id: u32, sevenths: u32, memory_mib: u32, reserved_mib: u32) -> Slice {
    Slice { profile, gpu_instance_id: id, sevenths, memory_mib, reserved_mib }
}

static H100_SLICES: [Slice; 4] = [
    slice("3g.40gb", 2, 3, 40_448, 30),
    slice("2g.20gb", 3, 2, 20_096, 17),
    slice("1g.10gb", 9, 1, 9_984, 11),
    slice("1g.10gb", 10, 1, 9_984, 11),
];

static A100_SLICES: [Slice; 4] = [
    slice("3g.40gb", 2, 3, 40_192, 30),
    slice("2g.20gb", 3, 2, 19_968, 17),
    slice("1g.10gb", 9, 1, 9_728, 11),
    slice("1g.10gb", 10, 1, 9_728, 11),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_sound() {
        for (name, model) in Model::NAMES {
            assert_eq!(name.parse(), Ok(model));
            let product = model.product();
            assert!(product.idle_w < product.limit_w && product.full_load_c < product.slowdown_c, "{name}");
            let slices = model.slices();
            assert!(slices.iter().map(|slice| slice.sevenths).sum::<u32>() <= 7, "{name}");
            assert!(slices.iter().map(|slice| slice.memory_mib).sum::<u32>() <= product.memory_mib, "{name}");
            assert!(slices.is_sorted_by(|a, b| a.gpu_instance_id < b.gpu_instance_id), "{name}");
        }
        assert_eq!("h1000".parse::<Model>().map_err(|error| error.contains("h100, h200")), Err(true));
    }
}

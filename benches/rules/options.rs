//! The command line.

/// What is measured, and for how long.
pub(crate) struct Options {
    /// Each has 4,000 series and 40 groups.
    pub(crate) clusters: usize,
    /// Length of each phase.
    pub(crate) seconds: u64,
    /// How far before the first phase samples begin.
    pub(crate) history_seconds: u64,
    pub(crate) seed: u64,
    pub(crate) only: Option<String>,
    /// Expressions in this process instead of servers.
    pub(crate) engine: bool,
}

impl Options {
    /// Reads `--name value` pairs; what cargo adds is passed over.
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options =
            Self { clusters: 25, seconds: 180, history_seconds: 900, seed: 1, only: None, engine: false };
        while let Some(name) = arguments.next() {
            match name.as_str() {
                "--bench" => continue,
                "--engine" => {
                    options.engine = true;
                    continue;
                }
                _ => {}
            }
            let value = arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
            let number = || value.parse::<u64>().map_err(|error| format!("{name} {value}: {error}"));
            match name.as_str() {
                "--clusters" => options.clusters = usize::try_from(number()?.max(1)).expect("few clusters"),
                "--seconds" => options.seconds = number()?.max(15),
                "--history-seconds" => options.history_seconds = number()?,
                "--seed" => options.seed = number()?,
                "--only" => options.only = Some(value),
                _ => return Err(format!("unknown option {name}")),
            }
        }
        Ok(options)
    }
}

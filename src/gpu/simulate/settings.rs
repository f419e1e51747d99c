//! What a fleet is like, and how that is written.

use super::product::Model;

/// Most machines.
const NODES_MAX: u32 = 10_000;
/// Most GPUs of a machine.
const GPUS_MAX: u32 = 16;
/// Names of the settings.
const NAMES: [&str; 5] = ["nodes", "gpus", "model", "seed", "speed"];
/// Slowest and fastest pace.
const SPEEDS: std::ops::RangeInclusive<f64> = 0.001..=100_000.0;

/// What a fleet is like.
#[derive(Clone, Debug, PartialEq)]
pub struct Simulation {
    /// Machines.
    pub nodes: u32,
    /// GPUs of each.
    pub gpus: u32,
    /// Their products: machines take them in turn. Not empty.
    pub models: Vec<Model>,
    /// What chance falls by.
    pub seed: u64,
    /// Seconds of the simulation in one of the clock's: days, stories and jobs pass so much faster, while counters
    /// count what the gauges beside them say of a second of the clock.
    pub speed: f64,
}

impl Default for Simulation {
    /// One machine with eight H100, at the clock's pace.
    fn default() -> Self {
        Self { nodes: 1, gpus: 8, models: vec![Model::H100], seed: 1, speed: 1.0 }
    }
}

impl Simulation {
    /// Sets `nodes`, `gpus`, `model` (a list, with `,` or `+` between), `seed` or `speed`. The error says what is wrong
    /// with the value.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "nodes" => self.nodes = count(value, NODES_MAX)?,
            "gpus" => self.gpus = count(value, GPUS_MAX)?,
            "model" => self.models = value.split([',', '+']).map(str::parse).collect::<Result<_, _>>()?,
            "seed" => self.seed = value.parse().map_err(|error| format!("{value:?}: {error}"))?,
            "speed" => {
                let speed = value.parse().map_err(|error| format!("{value:?}: {error}"))?;
                if !SPEEDS.contains(&speed) {
                    let (low, high) = (SPEEDS.start(), SPEEDS.end());
                    return Err(format!("{value:?} is not between {low} and {high}"));
                }
                self.speed = speed;
            }
            other => return Err(format!("{other:?} is not one of {}", NAMES.join(", "))),
        }
        Ok(())
    }

    /// How many GPUs there are.
    pub fn gpu_count(&self) -> u32 {
        self.nodes.saturating_mul(self.gpus)
    }
}

impl std::str::FromStr for Simulation {
    type Err = String;

    /// From settings such as `nodes=4,gpus=8,model=h100+a100-mig,seed=1,speed=60`, in any order; the rest is as by
    /// default. Each stands once.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut simulation = Self::default();
        let mut set: Vec<&str> = Vec::new();
        for setting in text.split(',').filter(|_| !text.is_empty()) {
            let (name, value) =
                setting.split_once('=').ok_or_else(|| format!("{setting:?} is not name=value"))?;
            if set.contains(&name) {
                return Err(format!("{name} is there twice"));
            }
            let named = |error| if NAMES.contains(&name) { format!("{name}: {error}") } else { error };
            simulation.set(name, value).map_err(named)?;
            set.push(name);
        }
        Ok(simulation)
    }
}

fn count(value: &str, most: u32) -> Result<u32, String> {
    let count: u32 = value.parse().map_err(|error| format!("{value:?}: {error}"))?;
    if !(1..=most).contains(&count) {
        return Err(format!("{value} is not between 1 and {most}"));
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read() {
        assert_eq!("".parse(), Ok(Simulation::default()));
        let simulation =
            Simulation { nodes: 4, gpus: 2, models: vec![Model::H100, Model::A100Mig], seed: 7, speed: 0.5 };
        assert_eq!("speed=0.5,nodes=4,gpus=2,model=h100+a100-mig,seed=7".parse(), Ok(simulation.clone()));
        assert_eq!(simulation.gpu_count(), 8);
        let mut other = Simulation::default();
        assert_eq!(other.set("model", "l40s,h200"), Ok(()));
        assert_eq!(other.models, [Model::L40s, Model::H200]);
    }

    #[test]
    fn wrong_settings_are_named() {
        for (text, part) in [
            ("nodes", "\"nodes\" is not name=value"),
            ("nodes=0", "nodes: 0 is not between 1 and 10000"),
            ("nodes=2,nodes=3", "nodes is there twice"),
            ("gpus=17", "gpus: 17 is not between 1 and 16"),
            ("model=b300", "model: \"b300\" is not one of h100"),
            ("seed=-1", "seed: \"-1\""),
            ("speed=0", "speed: \"0\" is not between"),
            ("speed=NaN", "speed: \"NaN\" is not between"),
            ("pace=1", "\"pace\" is not one of nodes, gpus"),
        ] {
            let error = text.parse::<Simulation>().expect_err(text);
            assert!(error.starts_with(part), "{error}");
        }
    }
}

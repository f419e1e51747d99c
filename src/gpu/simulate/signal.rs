//! Curves over time that can be asked for their value, their integral and their lagged value at any moment, without
//! going through the moments before it. All of them go on forever in both directions.

use std::f64::consts::TAU;

/// A curve that repeats.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wave {
    /// `amplitude` up and down around zero, once each `period`; at its highest at `peak`.
    Sine {
        /// Highest value.
        amplitude: f64,
        /// Seconds.
        period: f64,
        /// A moment at which it is highest, in seconds.
        peak: f64,
    },
    /// `amplitude` for `len` at the beginning of each `period`, and zero for the rest of it.
    Pulse {
        /// The value while it is not zero.
        amplitude: f64,
        /// Seconds.
        period: f64,
        /// A moment at which it begins, in seconds.
        start: f64,
        /// How long it lasts, in seconds; above zero and below the period.
        len: f64,
    },
}

impl Wave {
    fn value(self, at: f64) -> f64 {
        match self {
            Self::Sine { amplitude, period, peak } => amplitude * ((at - peak) / period * TAU).cos(),
            Self::Pulse { amplitude, period, start, len } => {
                if (at - start).rem_euclid(period) < len {
                    amplitude
                } else {
                    0.0
                }
            }
        }
    }

    fn mean(self) -> f64 {
        match self {
            Self::Sine { .. } => 0.0,
            Self::Pulse { amplitude, period, len, .. } => amplitude * len / period,
        }
    }

    /// The integral from some fixed moment.
    fn integral(self, until: f64) -> f64 {
        match self {
            Self::Sine { amplitude, period, peak } => {
                amplitude * period / TAU * ((until - peak) / period * TAU).sin()
            }
            Self::Pulse { amplitude, period, start, len } => {
                let since = until - start;
                let over = since.div_euclid(period) * len;
                amplitude * (over + since.rem_euclid(period).min(len))
            }
        }
    }

    /// What follows it as a body follows its heating, with a time constant of `tau` seconds, when it has always done so.
    fn lagged(self, at: f64, tau: f64) -> f64 {
        match self {
            Self::Sine { amplitude, period, peak } => {
                let turn = TAU * tau / period;
                let amplitude = amplitude / (1.0 + turn * turn).sqrt();
                amplitude * ((at - peak) / period * TAU - turn.atan()).cos()
            }
            Self::Pulse { amplitude, period, start, len } => {
                let since = (at - start).rem_euclid(period);
                // Where it stands when a pulse ends, from one period to the next.
                let top = (-(-len / tau).exp_m1()) / (-(-period / tau).exp_m1());
                let bottom = top * (-(period - len) / tau).exp();
                amplitude
                    * if since < len {
                        1.0 - (1.0 - bottom) * (-since / tau).exp()
                    } else {
                        top * (-(since - len) / tau).exp()
                    }
            }
        }
    }

    fn scaled(self, factor: f64) -> Self {
        match self {
            Self::Sine { amplitude, period, peak } => {
                Self::Sine { amplitude: amplitude * factor, period, peak }
            }
            Self::Pulse { amplitude, period, start, len } => {
                Self::Pulse { amplitude: amplitude * factor, period, start, len }
            }
        }
    }
}

/// A level and waves upon it.
#[derive(Clone, Debug, Default)]
pub(super) struct Signal {
    level: f64,
    waves: Vec<Wave>,
}

impl Signal {
    /// `level` at all times, and the waves.
    pub(super) fn new(level: f64, waves: impl IntoIterator<Item = Wave>) -> Self {
        Self { level, waves: waves.into_iter().collect() }
    }

    /// This and `other`, `factor` times.
    pub(super) fn plus(mut self, other: &Self, factor: f64) -> Self {
        self.level += other.level * factor;
        self.waves.extend(other.waves.iter().map(|wave| wave.scaled(factor)));
        self
    }

    /// At a moment in seconds.
    pub(super) fn value(&self, at: f64) -> f64 {
        self.level + self.waves.iter().map(|wave| wave.value(at)).sum::<f64>()
    }

    /// On average.
    pub(super) fn mean(&self) -> f64 {
        self.level + self.waves.iter().map(|wave| wave.mean()).sum::<f64>()
    }

    /// A bound below all its values.
    pub(super) fn lowest(&self) -> f64 {
        let lowest = |wave: &Wave| match *wave {
            Wave::Sine { amplitude, .. } => -amplitude.abs(),
            Wave::Pulse { amplitude, .. } => amplitude.min(0.0),
        };
        self.level + self.waves.iter().map(lowest).sum::<f64>()
    }

    /// Value times seconds, between two moments.
    pub(super) fn integral(&self, from: f64, until: f64) -> f64 {
        let waves = self.waves.iter().map(|wave| wave.integral(until) - wave.integral(from));
        self.level * (until - from) + waves.sum::<f64>()
    }

    /// What follows it with a time constant of `tau` seconds.
    pub(super) fn lagged(&self, at: f64, tau: f64) -> f64 {
        self.level + self.waves.iter().map(|wave| wave.lagged(at, tau)).sum::<f64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signal() -> Signal {
        let sine = Wave::Sine { amplitude: 0.3, period: 61.0, peak: 5.0 };
        let pulse = Wave::Pulse { amplitude: -0.4, period: 100.0, start: 30.0, len: 25.0 };
        Signal::new(0.7, [sine]).plus(&Signal::new(0.5, [pulse]), 2.0)
    }

    #[test]
    fn values_repeat_and_add() {
        let signal = signal();
        assert!((signal.value(5.0) - 2.0).abs() < 1e-12);
        assert!((signal.value(5.0 + 6_100.0) - 2.0).abs() < 1e-9);
        assert!((signal.value(127.0) - (1.7 + 0.3)).abs() < 1e-9, "between two pulses, on a peak");
        assert!(signal.value(35.5) < 0.65, "in a trough of both");
        assert!((signal.mean() - 1.5).abs() < 1e-12);
        assert!((signal.lowest() - 0.6).abs() < 1e-12);
    }

    #[test]
    fn integrals_are_those_of_small_steps() {
        let signal = signal();
        for (from, until) in [(0.0, 10.0), (-50.0, 42.0), (29.0, 300.0)] {
            let step = 0.001;
            let steps = ((until - from) / step) as i64;
            let sum: f64 = (0..steps).map(|i| signal.value(from + (i as f64 + 0.5) * step) * step).sum();
            assert!((signal.integral(from, until) - sum).abs() < 1e-2, "{from} to {until}");
        }
    }

    #[test]
    fn what_lags_behind_is_what_a_body_does() {
        let signal = signal();
        let (tau, step) = (20.0, 0.01);
        let mut body = signal.mean();
        let mut at = -1_000.0;
        while at < 500.0 {
            body += (signal.value(at) - body) * step / tau;
            at += step;
            if at > 0.0 {
                assert!((signal.lagged(at, tau) - body).abs() < 2e-3, "at {at}");
            }
        }
    }
}

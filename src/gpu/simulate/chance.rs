//! Chance without state: the same key always falls the same way, so that anything can be asked for in any order.

/// A key that falls somehow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chance(u64);

impl Chance {
    /// The root of a simulation.
    pub(super) fn new(seed: u64) -> Self {
        Self(mix(seed))
    }

    /// The key of a part: of a GPU, of a property, of a second.
    pub(super) fn of(self, part: u64) -> Self {
        Self(mix(self.0 ^ mix(part)))
    }

    /// The key of a property.
    pub(super) fn named(self, name: &str) -> Self {
        name.bytes().fold(self, |key, byte| Self(mix(key.0 ^ u64::from(byte))))
    }

    /// All 64 bits of it.
    pub(super) fn bits(self) -> u64 {
        mix(self.0)
    }

    /// A number of at least 0 and below 1.
    pub(super) fn unit(self) -> f64 {
        // 53 bits are what a float holds.
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A number of at least `low` and below `high`.
    pub(super) fn between(self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// A whole number below `count`, which is not 0.
    pub(super) fn below(self, count: u64) -> u64 {
        debug_assert!(count > 0);
        self.bits() % count
    }

    /// Lower-case letters and digits as Kubernetes ends the names of pods with.
    pub(super) fn letters(self, count: usize) -> String {
        // No vowels, so that no word comes of it.
        const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
        let letter = |place: usize| {
            let which = self.of(place as u64).below(LETTERS.len() as u64) as usize;
            char::from(LETTERS[which])
        };
        (0..count).map(letter).collect()
    }

    /// 32 hexadecimal digits in groups, with the version and variant of a random UUID.
    pub(super) fn uuid(self) -> String {
        let (high, low) = (self.of(0).bits(), self.of(1).bits());
        let (high, low) = (high & !0xf000 | 0x4000, low & !(3 << 62) | (1 << 63));
        let (a, b, c) = (high >> 32, high >> 16 & 0xffff, high & 0xffff);
        format!("{a:08x}-{b:04x}-{c:04x}-{:04x}-{:012x}", low >> 48, low & 0xffff_ffff_ffff)
    }
}

/// The finalizer of splitmix64: each bit of the answer depends on each of the question.
fn mix(bits: u64) -> u64 {
    let bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_spread_over_their_range() {
        let falls: Vec<f64> = (0..10_000).map(|part| Chance::new(7).of(part).unit()).collect();
        let mean = falls.iter().sum::<f64>() / 10_000.0;
        assert!((0.48..0.52).contains(&mean), "{mean}");
        for tenth in 0..10 {
            let count = falls.iter().filter(|fall| (**fall * 10.0) as i32 == tenth).count();
            assert!((850..1_150).contains(&count), "{tenth}: {count}");
        }
    }

    #[test]
    fn the_same_key_falls_the_same_way() {
        let key = Chance::new(1).of(2).named("uuid");
        assert_eq!(key.uuid(), Chance::new(1).of(2).named("uuid").uuid());
        assert_ne!(key.uuid(), Chance::new(2).of(2).named("uuid").uuid());
        let uuid = key.uuid();
        let lens: Vec<usize> = uuid.split('-').map(str::len).collect();
        assert_eq!((lens, &uuid[14..15]), (vec![8, 4, 4, 4, 12], "4"));
        assert_eq!(key.letters(5).len(), 5);
    }
}

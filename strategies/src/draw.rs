//! Chance that follows from a seed, so that the same request, snapshot and seed always give the same plan.

/// Random numbers from a seed.
///
/// Source: `SplitMix64`, Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014.
#[derive(Clone, Debug)]
pub(crate) struct Draw(u64);

impl Draw {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number between 0 and 1, never either of them.
    #[expect(clippy::cast_precision_loss, reason = "53 bits are what the number has")]
    pub(crate) const fn unit(&mut self) -> f64 {
        ((self.next() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    /// Returns a place in a list of `len`; 0 when it is empty.
    pub(crate) fn place(&mut self, len: usize) -> usize {
        let number = usize::try_from(self.next() >> 32).unwrap_or_default();
        number.checked_rem(len).unwrap_or_default()
    }

    /// Puts `items` into the order in which they are drawn, each time one of those left, with a chance in proportion
    /// to its weight. Those without a weight above 0 are drawn when no other is left.
    ///
    /// Source: Efraimidis and Spirakis, "Weighted random sampling with a reservoir", 2006.
    pub(crate) fn order<T>(&mut self, items: impl IntoIterator<Item = T>, weight: impl Fn(&T) -> f64) -> Vec<T> {
        let with_key = |item| {
            let (weight, waits) = (weight(&item), -self.unit().ln());
            if weight > 0.0 { (false, waits / weight, item) } else { (true, waits, item) }
        };
        let mut drawn: Vec<(bool, f64, T)> = items.into_iter().map(with_key).collect();
        drawn.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
        drawn.into_iter().map(|(_, _, item)| item).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seeds that a share is counted over.
    const SEEDS: u32 = 20_000;

    /// Returns the share of seeds for which `happens`.
    fn share(happens: impl Fn(&mut Draw) -> bool) -> f64 {
        let count = (0..SEEDS).filter(|seed| happens(&mut Draw::new(u64::from(*seed)))).count();
        f64::from(u32::try_from(count).unwrap()) / f64::from(SEEDS)
    }

    /// Five standard deviations on either side: the seeds are fixed, so it never fails by chance.
    #[track_caller]
    fn check(found: f64, expected: f64) {
        let bound = 5.0 * (expected * (1.0 - expected) / f64::from(SEEDS)).sqrt();
        assert!((found - expected).abs() <= bound, "{found} is not {expected} ± {bound}");
    }

    #[test]
    fn the_first_is_drawn_in_proportion_to_its_weight() {
        let weights = [5.0, 3.0, 0.0, 2.0];
        for (item, weight) in weights.into_iter().enumerate() {
            check(share(|draw| draw.order(0..4, |i| weights[*i])[0] == item), weight / 10.0);
        }
    }

    #[test]
    fn each_further_one_is_drawn_from_those_left() {
        let weights = [5.0, 3.0, 2.0];
        let expected = 0.5 * 3.0 / 5.0;
        check(share(|draw| draw.order(0..3, |i| weights[*i])[..2] == [0, 1]), expected);
    }

    #[test]
    fn who_weighs_nothing_comes_last_in_an_order_of_chance() {
        for weightless in [0.0, -1.0, f64::NAN] {
            let weights = [weightless, 1e-9, weightless];
            assert!((0..1_000).all(|seed| Draw::new(seed).order(0..3, |i| weights[*i])[0] == 1));
            check(share(|draw| draw.order(0..3, |i| weights[*i])[1] == 0), 0.5);
        }
    }

    #[test]
    fn places_are_equally_likely() {
        for place in 0..5 {
            check(share(|draw| draw.place(5) == place), 0.2);
        }
        assert_eq!(Draw::new(1).place(0), 0);
    }

    #[test]
    fn a_number_is_below_a_bound_as_often_as_it_says() {
        check(share(|draw| draw.unit() < 0.05), 0.05);
    }
}

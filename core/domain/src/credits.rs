use std::borrow::Cow;
use std::fmt;
use std::iter::Sum;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An amount of money in micro-credits: `1_000_000` is one credit.
///
/// Shown and written in credits, with up to six decimals; arithmetic saturates, so no request can overflow a balance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Credits(pub i64);

/// The text is not an amount of credits.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no amount of credits; write a number with at most six decimals, such as 2.5")]
pub struct ParseCredits(String);

impl Credits {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    const ONE: i64 = 1_000_000;

    /// Returns `whole` credits.
    pub const fn whole(whole: i64) -> Self {
        Self(whole.saturating_mul(Self::ONE))
    }

    /// Returns this amount `times` over.
    #[must_use]
    pub const fn times(self, times: u32) -> Self {
        Self(self.0.saturating_mul(times as i64))
    }

    /// Returns the sum.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// Returns the difference, which may be negative.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// Returns the amount in credits as a floating number, for JSON and pages; never for arithmetic.
    #[expect(clippy::cast_precision_loss, reason = "shown to people; the ledger keeps the integer")]
    pub fn as_f64(self) -> f64 {
        self.0 as f64 / Self::ONE as f64
    }
}

impl Sum for Credits {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Self::plus)
    }
}

impl fmt::Display for Credits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let micro = self.0.unsigned_abs();
        let (whole, rest) = (micro / Self::ONE.unsigned_abs(), micro % Self::ONE.unsigned_abs());
        if rest == 0 {
            return write!(f, "{sign}{whole}");
        }
        let decimals = format!("{rest:06}");
        write!(f, "{sign}{whole}.{}", decimals.trim_end_matches('0'))
    }
}

impl FromStr for Credits {
    type Err = ParseCredits;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = || ParseCredits(text.to_owned());
        let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
        let (whole, decimals) = digits.split_once('.').unwrap_or((digits, "0"));
        let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !all_digits(whole) || !all_digits(decimals) || decimals.len() > 6 {
            return Err(refuse());
        }
        let whole: i64 = whole.parse().map_err(|_| refuse())?;
        let micro: i64 = format!("{decimals:0<6}").parse().map_err(|_| refuse())?;
        let amount = whole.checked_mul(Self::ONE).and_then(|w| w.checked_add(micro)).ok_or_else(refuse)?;
        Ok(Self(sign * amount))
    }
}

impl JsonSchema for Credits {
    fn schema_name() -> Cow<'static, str> {
        "Credits".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let words = "an amount of credits with at most six decimals, such as 2.5";
        json_schema!({ "type": ["number", "string"], "title": words })
    }
}

impl Serialize for Credits {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 % Self::ONE == 0 {
            serializer.serialize_i64(self.0 / Self::ONE)
        } else {
            serializer.serialize_f64(self.as_f64())
        }
    }
}

impl<'de> Deserialize<'de> for Credits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Amount;
        impl serde::de::Visitor<'_> for Amount {
            type Value = Credits;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an amount of credits with at most six decimals")
            }

            fn visit_i64<E: serde::de::Error>(self, whole: i64) -> Result<Credits, E> {
                whole.checked_mul(Credits::ONE).map(Credits).ok_or_else(|| E::custom("more credits than can be kept"))
            }

            fn visit_u64<E: serde::de::Error>(self, whole: u64) -> Result<Credits, E> {
                i64::try_from(whole).map_err(E::custom).and_then(|whole| self.visit_i64(whole))
            }

            fn visit_f64<E: serde::de::Error>(self, credits: f64) -> Result<Credits, E> {
                // The shortest decimal form of a float is what its author wrote.
                format!("{credits}").parse().map_err(E::custom)
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Credits, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Amount)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, micro: i64, shown: &str) {
        let credits: Credits = text.parse().unwrap();
        assert_eq!(credits, Credits(micro));
        assert_eq!(credits.to_string(), shown);
    }

    #[test]
    fn amounts_survive_the_round_trip() {
        check("1", 1_000_000, "1");
        check("-2.50", -2_500_000, "-2.5");
        check("0.000001", 1, "0.000001");
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for text in ["", ".", "1.", "1e3", "0.0000001", "abc", "99999999999999999999"] {
            assert!(text.parse::<Credits>().is_err(), "{text} was taken");
        }
    }

    #[test]
    fn json_numbers_are_read_as_they_were_written() {
        let credits: Credits = serde_json::from_str("0.1").unwrap();
        assert_eq!(credits, Credits(100_000));
        assert_eq!(serde_json::to_string(&Credits(5_000_000)).unwrap(), "5");
        assert_eq!(serde_json::to_string(&Credits(100_000)).unwrap(), "0.1");
    }
}

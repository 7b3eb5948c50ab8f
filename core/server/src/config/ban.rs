//! `[[ban]]`: miners that are not asked, whatever a strategy or a client says.

use std::fmt;
use std::str::FromStr;

use btvep_domain::{Hotkey, written};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// `[[ban]]`: one miner that is not asked. Attempts under way to it end when the ban is read.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BanConfig {
    /// The miner's hotkey.
    pub hotkey: Hotkey,
    /// Why, for whoever reads the configuration later. Told to nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When the ban lapses: at the beginning of a day, in UTC, or at a moment. Absent means never; a ban that has lapsed
    /// is ignored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "until_schema", example = &"2026-01-31T12:00:00Z")]
    pub until: Option<Until>,
}

fn until_schema(_: &mut SchemaGenerator) -> Schema {
    written::text(r#"a date or a moment, such as "2026-01-31" or "2026-01-31T12:00:00Z""#, r"^\d{4}-\d{2}-\d{2}")
}

/// A moment, kept as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Until {
    text: String,
    unix: i64,
}

impl Until {
    /// Returns unix seconds.
    pub const fn unix(&self) -> i64 {
        self.unix
    }
}

impl FromStr for Until {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let day = |date: Date| date.to_zoned(TimeZone::UTC).ok().map(|midnight| midnight.timestamp());
        let moment = text.parse::<Timestamp>().ok();
        let moment = moment.or_else(|| text.parse::<Date>().ok().filter(|_| !text.contains([':', 'T'])).and_then(day));
        let unix = moment.map(Timestamp::as_second);
        unix.map(|unix| Self { text: text.to_owned(), unix }).ok_or_else(|| {
            let shown: String = text.chars().filter(|c| !c.is_control()).take(40).collect();
            format!("`{shown}` is no date and no moment; write 2026-01-31 or 2026-01-31T12:00:00Z")
        })
    }
}

impl fmt::Display for Until {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Until {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Until {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // TOML has dates of its own; quoted they are as good.
        let text = match toml::Value::deserialize(deserializer)? {
            toml::Value::String(text) => text,
            toml::Value::Datetime(moment) => moment.to_string(),
            other => return Err(serde::de::Error::custom(format!("expected a date, found {}", other.type_str()))),
        };
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Line {
        until: Until,
    }

    fn unix(value: &str) -> Result<i64, String> {
        let line = toml::from_str::<Line>(&format!("until = {value}")).map_err(|error| error.message().to_owned())?;
        Ok(line.until.unix())
    }

    #[test]
    fn a_date_begins_at_midnight_utc_quoted_or_not() {
        for value in ["2026-01-31", "\"2026-01-31\"", "2026-01-31T00:00:00Z", "\"2026-01-31T02:00:00+02:00\""] {
            assert_eq!(unix(value), Ok(1_769_817_600), "{value}");
        }
    }

    #[test]
    fn what_is_no_moment_is_refused_with_what_would_be_right() {
        for value in ["\"soon\"", "\"\"", "2026-01-31T12:00:00", "\"2026-01-31T12:00:00\"", "12:00:00"] {
            assert!(unix(value).unwrap_err().contains("write 2026-01-31 or"), "{value}");
        }
        assert!(unix("3").unwrap_err().contains("expected a date"));
    }
}

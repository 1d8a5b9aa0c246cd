//! The outermost layer of a webhook body, read without building more of it than is allowed.
//!
//! A body of 16 MiB could hold millions of tiny elements; only the first [`WEBHOOK_ALERTS_MAX`] are built, the rest are
//! counted. Nothing here objects to a shape: `wire` names the field that is wrong.

use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::limits::WEBHOOK_ALERTS_MAX;

/// A body's top level.
pub(super) struct Envelope {
    /// All fields but `alerts`; `None` when the body is no object.
    pub(super) fields: Option<Map<String, Value>>,
    /// What a body that is no object is.
    pub(super) kind: &'static str,
    pub(super) alerts: Alerts,
}

/// What stands under `alerts`.
pub(super) enum Alerts {
    Missing,
    List(Vec<Value>),
    TooMany(usize),
    Other(&'static str),
}

/// Visits anything; only the shape in question is kept.
macro_rules! scalars {
    ($make:expr) => {
        fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
            Ok($make("a boolean"))
        }
        fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
            Ok($make("a number"))
        }
        fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
            Ok($make("a number"))
        }
        fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
            Ok($make("a number"))
        }
        fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
            Ok($make("a text"))
        }
        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok($make("null"))
        }
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("any JSON")
        }
    };
}

impl<'de> Deserialize<'de> for Envelope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EnvelopeVisitor)
    }
}

struct EnvelopeVisitor;

impl EnvelopeVisitor {
    fn none(kind: &'static str) -> Envelope {
        Envelope { fields: None, kind, alerts: Alerts::Missing }
    }
}

impl<'de> Visitor<'de> for EnvelopeVisitor {
    type Value = Envelope;

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Envelope, A::Error> {
        let mut fields = Map::new();
        let mut alerts = Alerts::Missing;
        while let Some(name) = map.next_key::<String>()? {
            if name == "alerts" {
                alerts = map.next_value_seed(AlertsVisitor)?;
            } else {
                fields.insert(name, map.next_value()?);
            }
        }
        Ok(Envelope { fields: Some(fields), kind: "an object", alerts })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Envelope, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Self::none("a list"))
    }

    scalars!(Self::none);
}

impl<'de> Deserialize<'de> for Alerts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AlertsVisitor)
    }
}

struct AlertsVisitor;

impl<'de> DeserializeSeed<'de> for AlertsVisitor {
    type Value = Alerts;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Alerts, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for AlertsVisitor {
    type Value = Alerts;

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Alerts, A::Error> {
        let mut list = Vec::new();
        while list.len() < WEBHOOK_ALERTS_MAX {
            match seq.next_element::<Value>()? {
                Some(alert) => list.push(alert),
                None => return Ok(Alerts::List(list)),
            }
        }
        let mut count = list.len();
        while seq.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok(if count > WEBHOOK_ALERTS_MAX { Alerts::TooMany(count) } else { Alerts::List(list) })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Alerts, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Alerts::Other("an object"))
    }

    scalars!(Alerts::Other);
}

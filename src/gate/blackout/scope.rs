//! What a blackout covers: servers by name, group or tag, and runbooks by name or category.
//!
//! Written as an object (`{tags: [web]}`) or, as in the seed, as a list of words that may be any of these.

use std::fmt;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::inventory::Server;

/// Servers that a blackout covers; everything empty means all.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct ServerScope {
    pub names: Vec<String>,
    pub groups: Vec<String>,
    pub tags: Vec<String>,
}

/// Runbooks that a blackout covers; everything empty means all.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct RunbookScope {
    pub names: Vec<String>,
    pub categories: Vec<String>,
}

/// The server that a run would act on, as far as a scope asks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target {
    pub server: String,
    pub group: Option<String>,
    pub tags: Vec<String>,
}

impl From<&Server> for Target {
    fn from(server: &Server) -> Self {
        Self { server: server.name.clone(), group: server.group.clone(), tags: server.tags.clone() }
    }
}

impl ServerScope {
    /// Whether `target` is one of them.
    pub fn covers(&self, target: &Target) -> bool {
        if self.names.is_empty() && self.groups.is_empty() && self.tags.is_empty() {
            return true;
        }
        self.names.contains(&target.server)
            || target.group.as_ref().is_some_and(|group| self.groups.contains(group))
            || target.tags.iter().any(|tag| self.tags.contains(tag))
    }
}

impl RunbookScope {
    /// Whether the runbook, of this category, is one of them.
    pub fn covers(&self, runbook: &str, category: &str) -> bool {
        (self.names.is_empty() && self.categories.is_empty())
            || self.names.iter().any(|name| name == runbook)
            || (!category.is_empty() && self.categories.iter().any(|name| name == category))
    }
}

impl<'de> Deserialize<'de> for ServerScope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// The object form.
        #[derive(Default, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        struct Fields {
            names: Vec<String>,
            groups: Vec<String>,
            tags: Vec<String>,
        }
        deserializer.deserialize_any(ScopeVisitor::<Fields>::new()).map(|written| match written {
            Written::Words(words) => Self { names: words.clone(), groups: words.clone(), tags: words },
            Written::Fields(Fields { names, groups, tags }) => Self { names, groups, tags },
        })
    }
}

impl<'de> Deserialize<'de> for RunbookScope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// The object form.
        #[derive(Default, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        struct Fields {
            names: Vec<String>,
            categories: Vec<String>,
        }
        deserializer.deserialize_any(ScopeVisitor::<Fields>::new()).map(|written| match written {
            Written::Words(words) => Self { names: words.clone(), categories: words },
            Written::Fields(Fields { names, categories }) => Self { names, categories },
        })
    }
}

enum Written<F> {
    Words(Vec<String>),
    Fields(F),
}

/// Reads either form; unlike an untagged enum it keeps the message, and its place, of what is wrong inside.
struct ScopeVisitor<F>(std::marker::PhantomData<F>);

impl<F> ScopeVisitor<F> {
    fn new() -> Self {
        Self(std::marker::PhantomData)
    }
}

impl<'de, F: Deserialize<'de> + Default> Visitor<'de> for ScopeVisitor<F> {
    type Value = Written<F>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object like {tags: [web]}, or a list of names")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
        Deserialize::deserialize(SeqAccessDeserializer::new(seq)).map(Written::Words)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        F::deserialize(MapAccessDeserializer::new(map)).map(Written::Fields)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Written::Fields(F::default()))
    }
}

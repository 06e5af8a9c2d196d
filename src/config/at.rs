//! Values that know where they were written, for messages. May not live here: what the values mean.

use crate::config::duration::{DURATION_SYNTAX, parse_duration};
use crate::config::raw::RawBound;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::marker::PhantomData;
use std::ops::Range;
use std::time::Duration;

/// Byte range in one configuration file.
pub type Span = Range<usize>;

/// A value and where it stands.
#[derive(Debug, Clone)]
pub struct At<T> {
    pub value: T,
    pub span: Span,
}

impl<T: PartialEq> PartialEq for At<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Eq> Eq for At<T> {}

impl<T: Ord> PartialOrd for At<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T: Ord> Ord for At<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.value.cmp(&other.value)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for At<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = toml::Spanned::<T>::deserialize(deserializer)?;
        let span = spanned.span();
        Ok(At { value: spanned.into_inner(), span })
    }
}

/// A table and where its header or its braces stand. A plain derived type would also take a list for its fields.
#[derive(Debug, Clone)]
pub struct Table<T> {
    pub value: T,
    pub span: Span,
}

struct OnlyMap<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OnlyMap<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MapVisitor<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for MapVisitor<T> {
            type Value = OnlyMap<T>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a table")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<OnlyMap<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(OnlyMap)
            }
        }
        deserializer.deserialize_map(MapVisitor(PhantomData))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Table<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let At { value: OnlyMap(value), span } = At::deserialize(deserializer)?;
        Ok(Table { value, span })
    }
}

/// A duration as it is written in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dur(pub Duration);

impl<'de> Deserialize<'de> for Dur {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct DurVisitor;
        impl Visitor<'_> for DurVisitor {
            type Value = Dur;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(DURATION_SYNTAX)
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Dur, E> {
                parse_duration(text).map(Dur).map_err(E::custom)
            }
        }
        deserializer.deserialize_str(DurVisitor)
    }
}

/// What `set` sets. The text of a number is taken from the file, so that `1.20` stays `1.20`.
#[derive(Debug, Clone, PartialEq)]
pub enum RawScalar {
    Number(f64),
    Text(String),
    Bool(bool),
}

impl<'de> Deserialize<'de> for RawScalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ScalarVisitor;
        impl Visitor<'_> for ScalarVisitor {
            type Value = RawScalar;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a number, a string or a boolean")
            }

            fn visit_bool<E: Error>(self, value: bool) -> Result<RawScalar, E> {
                Ok(RawScalar::Bool(value))
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<RawScalar, E> {
                Ok(RawScalar::Number(value as f64))
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<RawScalar, E> {
                Ok(RawScalar::Number(value as f64))
            }

            fn visit_f64<E: Error>(self, value: f64) -> Result<RawScalar, E> {
                Ok(RawScalar::Number(value))
            }

            fn visit_str<E: Error>(self, value: &str) -> Result<RawScalar, E> {
                Ok(RawScalar::Text(value.to_owned()))
            }
        }
        deserializer.deserialize_any(ScalarVisitor)
    }
}

/// An item of a list that takes names and tables.
#[derive(Debug, Clone)]
pub enum NameOr<T> {
    Name(String),
    Table(T),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for NameOr<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameOrVisitor<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for NameOrVisitor<T> {
            type Value = NameOr<T>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a name or a table")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<NameOr<T>, E> {
                Ok(NameOr::Name(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<NameOr<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(NameOr::Table)
            }
        }
        deserializer.deserialize_any(NameOrVisitor(PhantomData))
    }
}

/// A text, or a list of them.
#[derive(Debug)]
pub enum OneOrMany {
    One(String),
    Many(Vec<At<String>>),
}

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrManyVisitor;
        impl<'de> Visitor<'de> for OneOrManyVisitor {
            type Value = OneOrMany;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a text or a list of texts")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<OneOrMany, E> {
                Ok(OneOrMany::One(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<OneOrMany, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(OneOrMany::Many)
            }
        }
        deserializer.deserialize_any(OneOrManyVisitor)
    }
}

/// A value to be set, or a bounded change.
#[derive(Debug)]
pub enum RawSetting {
    Value(RawScalar),
    Change(Box<RawBound>),
}

impl<'de> Deserialize<'de> for RawSetting {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SettingVisitor;
        impl<'de> Visitor<'de> for SettingVisitor {
            type Value = RawSetting;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a value or a table such as { multiply = 1.5, max = 10 }")
            }

            fn visit_bool<E: Error>(self, value: bool) -> Result<RawSetting, E> {
                Ok(RawSetting::Value(RawScalar::Bool(value)))
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<RawSetting, E> {
                Ok(RawSetting::Value(RawScalar::Number(value as f64)))
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<RawSetting, E> {
                Ok(RawSetting::Value(RawScalar::Number(value as f64)))
            }

            fn visit_f64<E: Error>(self, value: f64) -> Result<RawSetting, E> {
                Ok(RawSetting::Value(RawScalar::Number(value)))
            }

            fn visit_str<E: Error>(self, value: &str) -> Result<RawSetting, E> {
                Ok(RawSetting::Value(RawScalar::Text(value.to_owned())))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawSetting, A::Error> {
                RawBound::deserialize(MapAccessDeserializer::new(map)).map(|raw| RawSetting::Change(Box::new(raw)))
            }
        }
        deserializer.deserialize_any(SettingVisitor)
    }
}

//! JSON from outside, up to a number of bytes of memory: two bytes of text become sixty of a value.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Bytes of memory that a value takes in a list, which has room for as many again.
const OF_VALUE: usize = 2 * size_of::<Value>();

/// Bytes that an object takes, whose pairs have room for eleven each time (the B-tree of the standard library).
const OF_OBJECT: usize = 640;

/// Bytes that a text takes beside its own.
const OF_TEXT: usize = 24;

/// Bytes of memory that may still be taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Room(pub usize);

impl Room {
    /// Takes some.
    pub fn take<E: Error>(&mut self, bytes: usize) -> Result<(), E> {
        let left = self.0.checked_sub(bytes);
        self.0 =
            left.ok_or_else(|| E::custom("it has more values than memory is set aside for"))?;
        Ok(())
    }
}

/// A value as [`Value`] reads it, which takes of the room.
#[derive(Debug)]
pub struct Bounded<'a>(pub &'a mut Room);

impl<'de> DeserializeSeed<'de> for Bounded<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        self.0.take(OF_VALUE)?;
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Bounded<'_> {
    type Value = Value;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("any valid JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, truth: bool) -> Result<Value, E> {
        Ok(truth.into())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        self.0.take(text.len().saturating_add(OF_TEXT))?;
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = from.next_element_seed(Bounded(self.0))? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        self.0.take(OF_OBJECT)?;
        let mut pairs = Map::new();
        while let Some(key) = from.next_key::<String>()? {
            self.0.take(key.len().saturating_add(OF_TEXT))?;
            let value = from.next_value_seed(Bounded(self.0))?;
            pairs.insert(key, value);
        }
        Ok(Value::Object(pairs))
    }
}

/// Reads a value that takes so many bytes of memory at most.
///
/// # Errors
/// Text that is not JSON, and what takes more.
pub fn parse(text: &[u8], most: usize) -> serde_json::Result<Value> {
    let mut from = serde_json::Deserializer::from_slice(text);
    let value = Bounded(&mut Room(most)).deserialize(&mut from)?;
    from.end().map(|()| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, room: usize) -> serde_json::Result<Value> {
        parse(text.as_bytes(), room)
    }

    #[test]
    fn a_value_is_as_serde_json_reads_it_and_takes_of_the_room() {
        let text = r#"{"a":[null,true,-1,2,0.5,"x\n"],"b":{"c":{}},"a":7}"#;
        assert_eq!(read(text, 1 << 16).unwrap(), serde_json::from_str::<Value>(text).unwrap());
        for text in ["[0,0,0,0]", "[[],[],[],[]]", "{\"a\":{\"b\":{}}}", "[\"abcdefghijkl\"]"] {
            let least = (0..1 << 16).find(|room| read(text, *room).is_ok()).unwrap();
            assert!(least > 16 * text.len() / 2, "{text}: {least}");
        }
        assert!(read(&format!("[{}0]", "0,".repeat(1000)), 1000 * OF_VALUE).is_err());
    }
}

//! Tensor data as JSON: flat, or nested as the shape says.

use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, SeqAccess, Visitor};

/// No tensor of this server has more than two dimensions; a bound keeps hostile nesting cheap.
const MAX_DEPTH: usize = 4;

/// The values of a tensor in row-major order, and how they were nested.
#[derive(Debug, Default, PartialEq)]
pub(super) struct TensorData {
    pub(super) values: Vec<f32>,
    /// The length of the lists at each depth; one entry if the data are flat.
    pub(super) nesting: Vec<usize>,
}

impl<'de> Deserialize<'de> for TensorData {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut data = Self::default();
        let mut lengths = [None; MAX_DEPTH];
        let list = List {
            values: &mut data.values,
            lengths: &mut lengths,
            depth: 0,
        };
        deserializer.deserialize_seq(list)?;
        data.nesting = lengths.into_iter().map_while(|length| length).collect();
        Ok(data)
    }
}

struct List<'a> {
    values: &'a mut Vec<f32>,
    lengths: &'a mut [Option<usize>; MAX_DEPTH],
    depth: usize,
}

impl<'de> Visitor<'de> for List<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of numbers, or of lists of equal length")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Self {
            values,
            lengths,
            depth,
        } = self;
        let mut length = 0;
        while list
            .next_element_seed(Element {
                values,
                lengths,
                depth,
            })?
            .is_some()
        {
            length += 1;
        }
        // Numbers where other branches hold lists (or the reverse) would leave a length that differs or a total
        // that does not fit the shape; both are refused, here or by the caller.
        match lengths[depth] {
            Some(other) if other != length => Err(A::Error::custom(format!(
                "lists at depth {} have {other} and {length} elements; they must be equally long",
                depth + 1
            ))),
            _ => {
                lengths[depth] = Some(length);
                Ok(())
            }
        }
    }
}

struct Element<'a> {
    values: &'a mut Vec<f32>,
    lengths: &'a mut [Option<usize>; MAX_DEPTH],
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Element<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Element<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number or a list of numbers")
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.values.push(value as f32);
        Ok(())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.visit_f64(value as f64)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.visit_f64(value as f64)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<(), A::Error> {
        let depth = self.depth + 1;
        if depth == MAX_DEPTH {
            return Err(A::Error::custom(
                "lists are nested deeper than any shape of this model",
            ));
        }
        List {
            values: self.values,
            lengths: self.lengths,
            depth,
        }
        .visit_seq(list)
    }
}

#[cfg(test)]
mod tests;

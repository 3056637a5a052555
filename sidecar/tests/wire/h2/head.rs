//! Heads and trailers: lists of fields, and how they are packed.

/// Names and values in their order.
pub type Fields = Vec<(String, Vec<u8>)>;

/// How a field is written (RFC 7541, section 6.2), unless it is found in a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Indexed,
    Plain,
    Never,
}

#[derive(Clone, PartialEq, Eq)]
pub struct Field {
    pub name: String,
    pub value: Vec<u8>,
    pub form: Form,
}

impl Field {
    pub fn new(name: &str, value: impl Into<Vec<u8>>) -> Self {
        Self {
            name: name.to_owned(),
            value: value.into(),
            form: Form::Plain,
        }
    }
}

impl std::fmt::Debug for Field {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let value = match self.value.len() {
            0..=200 => self.value.escape_ascii().to_string(),
            long => format!("<{long} bytes>"),
        };
        write!(f, "{}={value} {:?}", self.name, self.form)
    }
}

/// How a head is cut into frames.
#[derive(Clone, Debug, Default)]
pub struct Cut {
    /// Bytes of each frame, taken in turns; empty: all in one.
    pub pieces: Vec<usize>,
    /// No more than these: many are refused as an attack.
    pub frames: usize,
    pub padding: Option<u8>,
    pub priority: bool,
}

/// Packs fields, with what the other side's table has, or without any table.
pub struct Packer {
    pub table: Option<fluke_hpack::Encoder<'static>>,
}

impl Packer {
    pub fn pack(&mut self, fields: &[Field]) -> Vec<u8> {
        let mut out = Vec::new();
        for Field { name, value, form } in fields {
            match (&mut self.table, form) {
                (Some(table), Form::Indexed) => {
                    let field = (name.as_bytes(), value.as_slice());
                    table.encode_header_into(field, &mut out).unwrap();
                }
                (_, Form::Never) => literal(&mut out, 0x10, name, value),
                _ => literal(&mut out, 0, name, value),
            }
        }
        out
    }
}

fn literal(out: &mut Vec<u8>, form: u8, name: &str, value: &[u8]) {
    out.push(form);
    for text in [name.as_bytes(), value] {
        out.extend(fluke_hpack::encoder::encode_integer(text.len(), 7));
        out.extend_from_slice(text);
    }
}

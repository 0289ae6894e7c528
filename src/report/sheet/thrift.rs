//! Thrift's compact protocol, as far as the metadata of Parquet needs it.
//!
//! Source: <https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md>

/// What the elements of a list are.
#[derive(Clone, Copy)]
pub(super) enum Type {
    I32,
    Binary,
    Struct,
}

/// A struct in the making, with those around it.
#[derive(Default)]
pub(super) struct Thrift {
    bytes: Vec<u8>,
    /// The last field's number, of this struct and of those around it.
    last: Vec<i16>,
}

impl Thrift {
    /// The outermost struct.
    pub fn message(fields: impl FnOnce(&mut Self)) -> Vec<u8> {
        let mut thrift = Self::default();
        thrift.fields(fields);
        thrift.bytes
    }

    pub fn i32(&mut self, field: i16, value: i32) {
        self.head(field, 5);
        self.number(i64::from(value));
    }

    pub fn i64(&mut self, field: i16, value: i64) {
        self.head(field, 6);
        self.number(value);
    }

    pub fn bool(&mut self, field: i16, value: bool) {
        self.head(field, if value { 1 } else { 2 });
    }

    pub fn text(&mut self, field: i16, value: &str) {
        self.head(field, 8);
        self.binary(value.as_bytes());
    }

    pub fn object(&mut self, field: i16, fields: impl FnOnce(&mut Self)) {
        self.head(field, 12);
        self.fields(fields);
    }

    /// A list, each of whose elements `element` adds.
    pub fn list<T>(
        &mut self,
        field: i16,
        of: Type,
        items: impl ExactSizeIterator<Item = T>,
        mut element: impl FnMut(&mut Self, T),
    ) {
        self.head(field, 9);
        let of = match of {
            Type::I32 => 5,
            Type::Binary => 8,
            Type::Struct => 12,
        };
        match u8::try_from(items.len()) {
            Ok(short) if short < 15 => self.bytes.push((short << 4) | of),
            _ => {
                self.bytes.push(0xf0 | of);
                self.varint(u64::try_from(items.len()).unwrap_or(u64::MAX));
            }
        }
        items.for_each(|item| element(self, item));
    }

    /// The fields of a struct that is an element of a list.
    pub fn fields(&mut self, fields: impl FnOnce(&mut Self)) {
        self.last.push(0);
        fields(self);
        self.bytes.push(0);
        self.last.pop();
    }

    /// A number that is an element of a list.
    pub fn number(&mut self, value: i64) {
        self.varint(((value << 1) ^ (value >> 63)).cast_unsigned());
    }

    /// A text that is an element of a list.
    pub fn binary(&mut self, value: &[u8]) {
        self.varint(u64::try_from(value.len()).unwrap_or(u64::MAX));
        self.bytes.extend_from_slice(value);
    }

    fn head(&mut self, field: i16, kind: u8) {
        let last = self.last.last_mut().map_or(0, |last| std::mem::replace(last, field));
        if let Ok(step @ 1..=15) = u8::try_from(field - last) {
            self.bytes.push((step << 4) | kind);
        } else {
            self.bytes.push(kind);
            self.number(i64::from(field));
        }
    }

    fn varint(&mut self, value: u64) {
        varint(&mut self.bytes, value);
    }
}

/// Seven bits a byte, the lowest first.
pub(super) fn varint(bytes: &mut Vec<u8>, mut value: u64) {
    loop {
        let low = u8::try_from(value & 0x7f).unwrap_or_default();
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return;
        }
        bytes.push(low | 0x80);
    }
}

//! BTF for tests, written word by word.

/// Types and strings that tests put together.
#[derive(Clone, Debug)]
pub(crate) struct Builder {
    types: Vec<u8>,
    strings: Vec<u8>,
    layout: Vec<u8>,
    /// Where strings begin: 0, or where those of the base end.
    string_base: u32,
    next: u32,
}

impl Builder {
    pub(crate) fn new() -> Self {
        Self { types: Vec::new(), strings: vec![0], layout: Vec::new(), string_base: 0, next: 1 }
    }

    /// That of a module.
    pub(crate) fn split(next: u32, string_base: u32) -> Self {
        Self { string_base, next, ..Self::new() }
    }

    fn name(&mut self, name: &str) -> u32 {
        if name.is_empty() {
            return 0;
        }
        let at = u32::try_from(self.strings.len()).unwrap();
        self.strings.extend(name.bytes().chain([0]));
        at + self.string_base
    }

    fn words(&mut self, words: &[u32]) {
        self.types.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    }

    /// A type without anything behind it, or with `tail`.
    pub(crate) fn plain(&mut self, name: &str, kind: u32, size: u32, tail: &[u32]) -> u32 {
        let name = self.name(name);
        self.words(&[name, kind << 24, size]);
        self.words(tail);
        self.id()
    }

    /// A structure, or with kind 5 a union. Members: name, type, offset in bits, bits.
    pub(crate) fn aggregate(
        &mut self,
        kind: u32,
        name: &str,
        size: u32,
        members: &[(&str, u32, u32, u32)],
    ) -> u32 {
        let flag = u32::from(members.iter().any(|(_, _, _, bits)| *bits > 0));
        let name = self.name(name);
        let count = u32::try_from(members.len()).unwrap();
        self.words(&[name, flag << 31 | kind << 24 | count, size]);
        for (name, id, offset, bits) in members {
            let name = self.name(name);
            self.words(&[name, *id, bits << 24 | offset]);
        }
        self.id()
    }

    /// An enumeration; of 64 bits with kind 19.
    pub(crate) fn enumeration(&mut self, kind: u32, name: &str, values: &[(&str, i64)]) -> u32 {
        let flag = u32::from(values.iter().any(|(_, value)| *value < 0));
        let name = self.name(name);
        let count = u32::try_from(values.len()).unwrap();
        self.words(&[name, flag << 31 | kind << 24 | count, 4]);
        for (name, value) in values {
            let name = self.name(name);
            let value = value.cast_unsigned();
            self.words(&[name, value as u32]);
            if kind == 19 {
                self.words(&[(value >> 32) as u32]);
            }
        }
        self.id()
    }

    /// What the layout section says of kinds, from 0 on: one, and of each.
    pub(crate) fn layout(&mut self, sizes: &[(u8, u8)]) {
        self.layout = sizes.iter().flat_map(|(one, each)| [*one, *each, 0, 0]).collect();
    }

    fn id(&mut self) -> u32 {
        self.next += 1;
        self.next - 1
    }

    pub(crate) fn build(&self) -> Vec<u8> {
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap();
        let (types, strings) = (length(&self.types), length(&self.strings));
        let header = if self.layout.is_empty() { 24 } else { 32 };
        let mut bytes = vec![0x9f, 0xeb, 1, 0];
        for word in [header, 0, types, types, strings] {
            bytes.extend(word.to_le_bytes());
        }
        if header == 32 {
            bytes.extend((types + strings).to_le_bytes());
            bytes.extend(length(&self.layout).to_le_bytes());
        }
        bytes.extend(&self.types);
        bytes.extend(&self.strings);
        bytes.extend(&self.layout);
        bytes
    }
}

//! A log as the kernel writes it, for tests. It shares no code with the decoders.

/// A ring, written record by record as `prb_reserve` and `prb_final_commit` do.
#[derive(Clone, Debug)]
pub(crate) struct SyntheticRing {
    pub(crate) descs: Vec<u8>,
    pub(crate) infos: Vec<u8>,
    pub(crate) text: Vec<u8>,
    pub(crate) head_id: u64,
    pub(crate) tail_id: u64,
    pub(crate) head_lpos: u64,
    pub(crate) tail_lpos: u64,
    count_bits: u32,
    size_bits: u32,
    /// Unused bytes before each field, so that no offset is the usual one.
    skew: usize,
    /// Whether a block may end at the end of the ring.
    exact_fit: bool,
    seq: u64,
    big_endian: bool,
}

pub(crate) const DESCS_AT: u64 = 0xffff_8880_0001_0000;
pub(crate) const INFOS_AT: u64 = 0xffff_8880_0002_0000;
pub(crate) const TEXT_AT: u64 = 0xffff_8880_0003_0000;
const ID_MASK: u64 = (1 << 62) - 1;

impl SyntheticRing {
    pub(crate) fn new(count_bits: u32, size_bits: u32) -> Self {
        Self::shaped(count_bits, size_bits, 0, false, false)
    }

    pub(crate) fn shaped(
        count_bits: u32,
        size_bits: u32,
        skew: usize,
        exact_fit: bool,
        big_endian: bool,
    ) -> Self {
        let (count, size) = (1_u64 << count_bits, 1_u64 << size_bits);
        let first = (count + 1).wrapping_neg() & ID_MASK;
        let mut ring = Self {
            descs: Vec::new(),
            infos: Vec::new(),
            text: vec![0xee; size as usize],
            head_id: first,
            tail_id: first,
            head_lpos: size.wrapping_neg(),
            tail_lpos: size.wrapping_neg(),
            count_bits,
            size_bits,
            skew,
            exact_fit,
            seq: 0,
            big_endian,
        };
        ring.descs = vec![0; ring.desc_size() * count as usize];
        ring.infos = vec![0; ring.info_size() * count as usize];
        ring.set_state(first, 3);
        ring.set_block(first, 1, 1);
        ring
    }

    /// Writes a record.
    pub(crate) fn push(&mut self, text: &[u8]) -> u64 {
        let id = self.reserve();
        if text.is_empty() {
            self.set_block(id, 3, 3);
        } else {
            self.write_block(id, text);
        }
        self.fill_info(id, text.len() as u16);
        self.set_state(id, 2);
        id
    }

    fn reserve(&mut self) -> u64 {
        let id = (self.head_id + 1) & ID_MASK;
        if id.wrapping_sub(self.tail_id) & ID_MASK == 1 << self.count_bits {
            self.set_state(self.tail_id, 3);
            self.tail_id = (self.tail_id + 1) & ID_MASK;
        }
        self.head_id = id;
        id
    }

    /// Makes room in the text ring, and writes the block.
    fn write_block(&mut self, id: u64, text: &[u8]) {
        let (ring, size) = (1_u64 << self.size_bits, (8 + text.len() as u64).next_multiple_of(8));
        assert!(size <= ring / 2, "too long for the ring");
        let begin = self.head_lpos;
        let end = begin.wrapping_add(size);
        let last = if self.exact_fit { end.wrapping_sub(1) } else { end };
        let next = if begin >> self.size_bits == last >> self.size_bits {
            end
        } else {
            (end >> self.size_bits << self.size_bits).wrapping_add(size)
        };
        while next.wrapping_sub(self.tail_lpos) > ring {
            let oldest = self.tail_id;
            self.set_state(oldest, 3);
            let (begin, next) = self.block(oldest);
            if begin & 1 == 0 {
                self.tail_lpos = next;
            }
            self.tail_id = (oldest + 1) & ID_MASK;
        }
        let wrapped = begin >> self.size_bits != next.wrapping_sub(1) >> self.size_bits;
        let start = if wrapped { 0 } else { (begin & (ring - 1)) as usize };
        let bytes = self.u64(id);
        self.text[start..start + 8].copy_from_slice(&bytes);
        self.text[start + 8..start + 8 + text.len()].copy_from_slice(text);
        self.head_lpos = next;
        self.set_block(id, begin, next);
    }

    fn fill_info(&mut self, id: u64, text_len: u16) {
        let (seq, info) = (self.seq, self.info_at(id));
        self.seq += 1;
        let mut bytes = self.u64(seq).to_vec();
        bytes.extend(self.u64(1_000_000_000 + seq * 1000));
        bytes.extend(if self.big_endian { text_len.to_be_bytes() } else { text_len.to_le_bytes() });
        let level = (seq % 8) as u8;
        bytes.push(0);
        bytes.push(if self.big_endian { 2 << 3 | level } else { level << 5 | 2 });
        let caller = if seq % 2 == 0 { seq as u32 } else { 1 << 31 | 1 };
        bytes.extend(if self.big_endian { caller.to_be_bytes() } else { caller.to_le_bytes() });
        if seq % 3 == 0 {
            bytes.extend(b"pci\0");
            bytes.extend([0; 12]);
            bytes.extend(b"+pci:0000:00:03.0");
        }
        self.infos[info..info + bytes.len()].copy_from_slice(&bytes);
    }

    pub(crate) fn set_state(&mut self, id: u64, state: u64) {
        let at = self.desc_at(id);
        let bytes = self.u64(state << 62 | id & ID_MASK);
        self.descs[at..at + 8].copy_from_slice(&bytes);
    }

    pub(crate) fn set_block(&mut self, id: u64, begin: u64, next: u64) {
        let at = self.desc_at(id) + 8;
        let bytes = [self.u64(begin), self.u64(next)].concat();
        self.descs[at..at + 16].copy_from_slice(&bytes);
    }

    pub(crate) fn block(&self, id: u64) -> (u64, u64) {
        let at = self.desc_at(id) + 8;
        let read = |at: usize| {
            let bytes = self.descs[at..at + 8].try_into().unwrap();
            if self.big_endian { u64::from_be_bytes(bytes) } else { u64::from_le_bytes(bytes) }
        };
        (read(at), read(at + 8))
    }

    fn u64(&self, value: u64) -> [u8; 8] {
        if self.big_endian { value.to_be_bytes() } else { value.to_le_bytes() }
    }

    pub(crate) fn desc_size(&self) -> usize {
        24 + self.skew
    }

    pub(crate) fn info_size(&self) -> usize {
        88 + self.skew
    }

    fn desc_at(&self, id: u64) -> usize {
        (id as usize & ((1 << self.count_bits) - 1)) * self.desc_size() + self.skew
    }

    fn info_at(&self, id: u64) -> usize {
        (id as usize & ((1 << self.count_bits) - 1)) * self.info_size() + self.skew
    }

    /// `struct printk_ringbuffer`.
    pub(crate) fn header(&self) -> Vec<u8> {
        let int = |value: u32| {
            let bytes = if self.big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
            [bytes, [0; 4]].concat()
        };
        let mut bytes = vec![0; self.skew];
        bytes.extend(int(self.count_bits));
        for value in [DESCS_AT, INFOS_AT, self.head_id, self.tail_id, 0] {
            bytes.extend(self.u64(value));
        }
        bytes.extend(int(self.size_bits));
        for value in [TEXT_AT, self.head_lpos, self.tail_lpos, 0] {
            bytes.extend(self.u64(value));
        }
        bytes
    }

    /// What VMCOREINFO says of the layout.
    pub(crate) fn vmcoreinfo(&self) -> String {
        let s = self.skew;
        let (desc, info, ring) = (self.desc_size(), self.info_size(), 88 + s);
        format!(
            "SIZE(printk_ringbuffer)={ring}\nOFFSET(printk_ringbuffer.desc_ring)={s}\n\
             OFFSET(printk_ringbuffer.text_data_ring)={}\nOFFSET(prb_desc_ring.count_bits)=0\n\
             OFFSET(prb_desc_ring.descs)=8\nOFFSET(prb_desc_ring.infos)=16\n\
             OFFSET(prb_desc_ring.head_id)=24\nOFFSET(prb_desc_ring.tail_id)=32\n\
             SIZE(prb_desc)={desc}\nOFFSET(prb_desc.state_var)={s}\nOFFSET(prb_desc.text_blk_lpos)={}\n\
             OFFSET(prb_data_blk_lpos.begin)=0\nOFFSET(prb_data_blk_lpos.next)=8\n\
             SIZE(printk_info)={info}\nOFFSET(printk_info.seq)={s}\nOFFSET(printk_info.ts_nsec)={}\n\
             OFFSET(printk_info.text_len)={}\nOFFSET(printk_info.caller_id)={}\n\
             OFFSET(printk_info.dev_info)={}\nOFFSET(dev_printk_info.subsystem)=0\n\
             LENGTH(printk_info_subsystem)=16\nOFFSET(dev_printk_info.device)=16\n\
             LENGTH(printk_info_device)=48\nOFFSET(prb_data_ring.size_bits)=0\n\
             OFFSET(prb_data_ring.data)=8\nOFFSET(prb_data_ring.head_lpos)=16\n\
             OFFSET(prb_data_ring.tail_lpos)=24\nOFFSET(atomic_long_t.counter)=0\n",
            s + 48,
            s + 8,
            s + 8,
            s + 16,
            s + 20,
            s + 24
        )
    }
}

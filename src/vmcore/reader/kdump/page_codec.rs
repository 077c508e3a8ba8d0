//! The codecs of kdump-compressed files: one page in, one page out.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use vmcore_formats::kdump::Codec;
use zstd::bulk::{Compressor, Decompressor};

/// Unpacks pages. Keeps what the codecs need from one page to the next.
#[derive(Default)]
pub struct PageUnpacker {
    zlib: Option<Decompress>,
    snappy: Option<snap::raw::Decoder>,
    zstd: Option<Decompressor<'static>>,
}

impl std::fmt::Debug for PageUnpacker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PageUnpacker").finish_non_exhaustive()
    }
}

impl PageUnpacker {
    /// Unpacks `packed` into `page`, which must be filled from end to end.
    pub fn unpack(&mut self, codec: Codec, packed: &[u8], page: &mut [u8]) -> Result<(), String> {
        let length = match codec {
            Codec::Zlib => {
                let zlib = self.zlib.get_or_insert_with(|| Decompress::new(true));
                zlib.reset(true);
                let status = zlib.decompress(packed, page, FlushDecompress::Finish);
                match status.map_err(|error| error.to_string())? {
                    Status::StreamEnd => usize::try_from(zlib.total_out()).unwrap_or(usize::MAX),
                    Status::Ok | Status::BufError => {
                        return Err("its zlib stream does not end with the page".to_owned());
                    }
                }
            }
            Codec::Lzo => lzokay::decompress::decompress(packed, page)
                .map_err(|error| format!("its LZO data are wrong: {error:?}"))?,
            Codec::Snappy => self
                .snappy
                .get_or_insert_with(snap::raw::Decoder::new)
                .decompress(packed, page)
                .map_err(|error| error.to_string())?,
            Codec::Zstd => {
                if self.zstd.is_none() {
                    self.zstd = Some(Decompressor::new().map_err(|error| error.to_string())?);
                }
                let zstd = self.zstd.as_mut().ok_or("there is no zstd")?;
                zstd.decompress_to_buffer(packed, page).map_err(|error| error.to_string())?
            }
        };
        if length == page.len() {
            Ok(())
        } else {
            Err(format!("it unpacks to {length} bytes, and a page has {}", page.len()))
        }
    }
}

/// Packs pages with one codec.
pub struct PagePacker {
    codec: PackerState,
    packed: Vec<u8>,
}

enum PackerState {
    Zlib(Compress),
    Lzo(Box<lzokay::compress::Dict>),
    Snappy(Box<snap::raw::Encoder>),
    Zstd(Compressor<'static>),
}

impl std::fmt::Debug for PagePacker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PagePacker").finish_non_exhaustive()
    }
}

impl PagePacker {
    /// A packer at about the level at which makedumpfile and QEMU pack: a fast one.
    pub fn new(codec: Codec) -> std::io::Result<Self> {
        let codec = match codec {
            // Level 1 of this zlib is faster than that of others, and a fifth larger.
            Codec::Zlib => PackerState::Zlib(Compress::new(Compression::new(2), true)),
            Codec::Lzo => PackerState::Lzo(lzokay::compress::Dict::new()),
            Codec::Snappy => PackerState::Snappy(Box::new(snap::raw::Encoder::new())),
            Codec::Zstd => PackerState::Zstd(Compressor::new(1)?),
        };
        Ok(Self { codec, packed: Vec::new() })
    }

    /// Packs a page.
    ///
    /// Returns `None` if it does not get shorter: it is then stored as it is.
    pub fn pack(&mut self, page: &[u8]) -> Option<&[u8]> {
        // Whatever a codec makes of a page that it cannot shorten.
        self.packed.resize(page.len().saturating_mul(2).saturating_add(1024), 0);
        let length = match &mut self.codec {
            PackerState::Zlib(zlib) => {
                zlib.reset();
                match zlib.compress(page, &mut self.packed, FlushCompress::Finish) {
                    Ok(Status::StreamEnd) => usize::try_from(zlib.total_out()).ok()?,
                    _ => return None,
                }
            }
            PackerState::Lzo(dictionary) => {
                lzokay::compress::compress_no_alloc(page, &mut self.packed, dictionary).ok()?
            }
            PackerState::Snappy(snappy) => snappy.compress(page, &mut self.packed).ok()?,
            PackerState::Zstd(zstd) => zstd.compress_to_buffer(page, &mut self.packed).ok()?,
        };
        self.packed.get(..length).filter(|packed| packed.len() < page.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Codec; 4] = [Codec::Zlib, Codec::Lzo, Codec::Snappy, Codec::Zstd];

    fn pages() -> Vec<Vec<u8>> {
        let mixed = (0..4096_u32).map(|index| (index / 9 * 37) as u8).collect();
        let text = b"the same again and again. ".iter().copied().cycle().take(65_536).collect();
        vec![vec![0; 4096], mixed, text]
    }

    #[test]
    fn every_codec_gives_the_page_back_one_after_the_other() {
        for codec in ALL {
            let (mut packer, mut unpacker) =
                (PagePacker::new(codec).unwrap(), PageUnpacker::default());
            for page in pages().iter().chain(&pages()) {
                let packed = packer.pack(page).unwrap().to_vec();
                let mut unpacked = vec![1; page.len()];
                unpacker.unpack(codec, &packed, &mut unpacked).unwrap();
                assert!(unpacked == *page, "{codec:?}");
            }
        }
    }

    #[test]
    fn what_does_not_get_shorter_is_left_as_it_is() {
        let mut state = 1_u64;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        })
        .take(4096)
        .collect();
        for codec in ALL {
            assert!(PagePacker::new(codec).unwrap().pack(&noise).is_none(), "{codec:?}");
        }
    }

    #[test]
    fn every_truncation_and_a_wrong_length_are_errors() {
        for codec in ALL {
            let page = &pages()[1];
            let packed = PagePacker::new(codec).unwrap().pack(page).unwrap().to_vec();
            let mut unpacker = PageUnpacker::default();
            for len in 0..packed.len() {
                let unpacked = unpacker.unpack(codec, &packed[..len], &mut vec![0; 4096]);
                assert!(unpacked.is_err(), "{codec:?} cut at {len}");
            }
            for length in [4095, 4097] {
                assert!(
                    unpacker.unpack(codec, &packed, &mut vec![0; length]).is_err(),
                    "{codec:?}"
                );
            }
            unpacker.unpack(codec, &packed, &mut vec![0; 4096]).unwrap();
        }
    }
}

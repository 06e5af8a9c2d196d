//! Where one of many grams may begin, told for 64 bytes at once by the instructions of AVX-512 VBMI.
//!
//! All unsafe code of the search is here. Not here: what the tables hold.

use super::{Filter, GRAM, Places, Tables};
use std::arch::x86_64::{
    __m512i, _mm512_and_si512, _mm512_loadu_si512, _mm512_or_si512, _mm512_permutexvar_epi8, _mm512_set1_epi8,
    _mm512_setzero_si512, _mm512_test_epi8_mask,
};

/// Bytes that are looked up at once.
const BLOCK: usize = 64;
/// With those that are looked at behind them.
const SEEN: usize = BLOCK + GRAM - 1;
/// Blocks after which those that are due get their closer look: a power of two.
const DUE: usize = 1 << 10;
/// The same where the places are noted too: what is noted stays in the first cache with what it is looked up in.
const DUE_PLACES: usize = 1 << 8;

/// The proof that this processor has AVX-512 VBMI.
#[derive(Debug, Clone, Copy)]
pub struct Vbmi(());

impl Vbmi {
    /// None on other processors.
    pub fn detect() -> Option<Vbmi> {
        let has = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vbmi");
        has.then_some(Vbmi(()))
    }

    /// Tells, in their order, the places where a gram may begin; a short one, up to three bytes before the end.
    #[expect(unsafe_code, reason = "what needs AVX-512 may only be called where it is")]
    pub fn find(self, filter: &Filter, text: &[u8], found: &mut impl FnMut(usize)) {
        // SAFETY: there is no value of this type on a processor without these instructions.
        unsafe {
            match filter {
                Filter::Few(tables, Places::Rare) => find_by_groups::<1, 4>(tables, text, found),
                Filter::Few(tables, Places::Frequent) => find_by_blocks(tables, text, found),
                Filter::Some(tables, Places::Rare) => find_by_groups::<2, 2>(tables, text, found),
                Filter::Some(tables, Places::Frequent) => find_by_blocks(tables, text, found),
                Filter::Many(tables) => find_by_blocks(tables, text, found),
            }
        }
    }
}

/// Several blocks are looked up together, and those that are due once more.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn find_by_groups<const SETS: usize, const GROUP: usize>(
    tables: &[Tables; SETS],
    text: &[u8],
    found: &mut impl FnMut(usize),
) {
    let loaded = loaded(tables);
    let group = GROUP * BLOCK;
    let whole = followed(text) / group * group;
    let mut due = [0_u16; DUE];
    for begin in (0..whole).step_by(DUE * group) {
        let rest = text.get(begin..whole + GRAM - 1).unwrap_or_default();
        let count = gather_groups::<SETS, GROUP>(tables, rest, &mut due);
        for index in due.get(..count).unwrap_or_default() {
            for block in 0..GROUP {
                let at = begin + usize::from(*index) * group + block * BLOCK;
                if let Some(seen) = text.get(at..).and_then(<[u8]>::first_chunk) {
                    tell(at, places(&loaded, seen), found);
                }
            }
        }
    }
    find_last(&loaded, text, whole, found);
}

/// All that is seen of a block is noted at once.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn find_by_blocks<const SETS: usize>(tables: &[Tables; SETS], text: &[u8], found: &mut impl FnMut(usize)) {
    let whole = followed(text) / BLOCK * BLOCK;
    let mut due = [(0_u64, 0_u16); DUE_PLACES];
    for begin in (0..whole).step_by(DUE_PLACES * BLOCK) {
        let rest = text.get(begin..whole + GRAM - 1).unwrap_or_default();
        let count = gather_places(tables, rest, &mut due);
        for (places, index) in due.get(..count).unwrap_or_default() {
            tell(begin + usize::from(*index) * BLOCK, *places, found);
        }
    }
    find_last(&loaded(tables), text, whole, found);
}

/// How many bytes are followed by all that is looked at.
fn followed(text: &[u8]) -> usize {
    text.len().saturating_sub(GRAM - 1)
}

/// What is in the blocks from there on.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn find_last<const SETS: usize>(
    tables: &[[__m512i; GRAM]; SETS],
    text: &[u8],
    from: usize,
    found: &mut impl FnMut(usize),
) {
    for at in (from..text.len()).step_by(BLOCK) {
        // Zeros behind the end: a gram may lack its last byte there.
        let mut last = [0; SEEN];
        last.iter_mut().zip(text.get(at..).unwrap_or_default()).for_each(|(to, from)| *to = *from);
        tell(at, places(tables, &last), found);
    }
}

/// Notes which groups of blocks are due, and says how many. A function of its own, so that the tables stay in registers.
///
/// What is noted is noted without a branch, which would be foretold wrongly at most of what is due. Never more than there are:
/// the mask only spares a check.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
#[inline(never)]
fn gather_groups<const SETS: usize, const GROUP: usize>(
    tables: &[Tables; SETS],
    text: &[u8],
    due: &mut [u16; DUE],
) -> usize {
    let tables = loaded(tables);
    let mut count = 0_usize;
    for (index, at) in (0..DUE as u16).zip((0..).step_by(GROUP * BLOCK)) {
        let Some(seen) = text.get(at..at + GROUP * BLOCK + GRAM - 1) else { break };
        let mut any = _mm512_setzero_si512();
        for block in 0..GROUP {
            if let Some(seen) = seen.get(block * BLOCK..).and_then(<[u8]>::first_chunk) {
                any = _mm512_or_si512(any, look_up(&tables, seen));
            }
        }
        if let Some(next) = due.get_mut(count & (DUE - 1)) {
            *next = index;
        }
        count += usize::from(_mm512_test_epi8_mask(any, any) != 0);
    }
    count
}

/// Notes which blocks are due, each with the places in it, and says how many: as above.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
#[inline(never)]
fn gather_places<const SETS: usize>(tables: &[Tables; SETS], text: &[u8], due: &mut [(u64, u16); DUE_PLACES]) -> usize {
    let tables = loaded(tables);
    let mut count = 0_usize;
    for (index, at) in (0..DUE_PLACES as u16).zip((0..).step_by(BLOCK)) {
        let Some(seen) = text.get(at..).and_then(<[u8]>::first_chunk) else { break };
        let places = places(&tables, seen);
        if let Some(next) = due.get_mut(count & (DUE_PLACES - 1)) {
            *next = (places, index);
        }
        count += usize::from(places != 0);
    }
    count
}

/// Where in a block a gram may begin, one bit for each byte.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
#[inline]
fn places<const SETS: usize>(tables: &[[__m512i; GRAM]; SETS], seen: &[u8; SEEN]) -> u64 {
    let any = look_up(tables, seen);
    _mm512_test_epi8_mask(any, any)
}

/// In which buckets a gram may begin at each byte of a block.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
#[inline]
fn look_up<const SETS: usize>(tables: &[[__m512i; GRAM]; SETS], seen: &[u8; SEEN]) -> __m512i {
    let mut any = _mm512_setzero_si512();
    let mut bytes = [any; GRAM];
    for (at, to) in bytes.iter_mut().enumerate() {
        if let Some(from) = seen.get(at..).and_then(<[u8]>::first_chunk) {
            *to = load(from);
        }
    }
    for tables in tables {
        let mut all = _mm512_set1_epi8(-1);
        for (table, bytes) in tables.iter().zip(&bytes) {
            all = _mm512_and_si512(all, _mm512_permutexvar_epi8(*bytes, *table));
        }
        any = _mm512_or_si512(any, all);
    }
    any
}

/// Closures would keep these few instructions from being put where they are needed: what calls them knows nothing of the
/// processor.
#[target_feature(enable = "avx512f")]
#[inline]
fn loaded<const SETS: usize>(tables: &[Tables; SETS]) -> [[__m512i; GRAM]; SETS] {
    let mut loaded = [[_mm512_setzero_si512(); GRAM]; SETS];
    for (to, table) in loaded.as_flattened_mut().iter_mut().zip(tables.as_flattened()) {
        *to = load(table);
    }
    loaded
}

#[target_feature(enable = "avx512f")]
#[inline]
#[expect(
    unsafe_code,
    reason = "a safe way of the same, eight numbers made from bytes, is slow where it is not optimized"
)]
fn load(bytes: &[u8; BLOCK]) -> __m512i {
    // SAFETY: so many bytes are there; they need no alignment.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

#[inline]
fn tell(begin: usize, mut places: u64, found: &mut impl FnMut(usize)) {
    while places != 0 {
        found(begin + places.trailing_zeros() as usize);
        places &= places - 1;
    }
}

//! Functions that look at many bytes in one instruction, compiled for the processors that have wider ones too.
//!
//! Lives here: how the one to take is told. Not here: what they look for.

/// Compiles a function twice: for every processor, and for those with AVX2, which it is taken for where it is there.
macro_rules! wide {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $type:ty),*) -> $result:ty $body:block) => {
        $(#[$meta])*
        #[inline]
        #[allow(unsafe_code, reason = "what needs AVX2 may only be called where it is")]
        $vis fn $name($($arg: $type),*) -> $result {
            #[inline(always)]
            fn anywhere($($arg: $type),*) -> $result $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2")]
                fn with_avx2($($arg: $type),*) -> $result {
                    anywhere($($arg),*)
                }

                if is_x86_feature_detected!("avx2") {
                    // SAFETY: it was just seen that it is there.
                    return unsafe { with_avx2($($arg),*) };
                }
            }
            anywhere($($arg),*)
        }
    };
}

pub(super) use wide;

/// Whether something is in one of the blocks of a text, of which each begins so many bytes before the end of the one before
/// it. A loop of a length that is known has no remainder to go through byte by byte. A short text has zeros behind it.
#[inline(always)]
pub(super) fn any_block<const BLOCK: usize>(text: &[u8], overlap: usize, holds: impl Fn(&[u8; BLOCK]) -> bool) -> bool {
    let Some(last) = text.last_chunk() else {
        let mut short = [0; BLOCK];
        short.iter_mut().zip(text).for_each(|(to, from)| *to = *from);
        return holds(&short);
    };
    let mut rest = text;
    while let Some(block) = rest.first_chunk() {
        if holds(block) {
            return true;
        }
        rest = rest.get(BLOCK - overlap..).unwrap_or_default();
    }
    holds(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_bytes_are_seen_together_wherever_they_stand() {
        for length in 0..100 {
            for at in 0..length {
                let mut text = vec![b'.'; length];
                text.iter_mut().skip(at).zip(b"ab").for_each(|(to, from)| *to = *from);
                let seen = any_block::<16>(&text, 1, |block| block.windows(2).any(|two| two == b"ab"));
                assert_eq!(seen, at + 2 <= length, "{at} of {length}");
            }
        }
    }
}

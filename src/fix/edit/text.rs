//! Small things about text: lines, and offsets of characters.

/// 1-based line of a byte offset.
pub(super) fn line_at(text: &str, offset: usize) -> usize {
    memchr::memchr_iter(b'\n', text.as_bytes().get(..offset).unwrap_or(text.as_bytes())).count() + 1
}

/// Byte offsets of characters, for positions that a parser counts in characters.
pub(super) struct CharOffsets {
    /// Empty when every character is one byte.
    starts: Vec<u32>,
    len: usize,
}

impl CharOffsets {
    pub fn new(text: &str) -> Self {
        let starts = if text.is_ascii() {
            Vec::new()
        } else {
            text.char_indices().map(|(i, _)| u32::try_from(i).unwrap_or(u32::MAX)).collect()
        };
        CharOffsets { starts, len: text.len() }
    }

    /// The byte offset of a character; the end of the text for one behind it.
    pub fn byte(&self, index: usize) -> usize {
        if self.starts.is_empty() {
            index.min(self.len)
        } else {
            self.starts.get(index).map_or(self.len, |b| *b as usize)
        }
    }
}

/// The lines of a text with the byte offset of each, without their ends (`\n` or `\r\n`).
pub(super) fn lines_with_offsets(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut offset = 0;
    text.split_inclusive('\n').map(move |line| {
        let start = offset;
        offset += line.len();
        let line = line.strip_suffix('\n').unwrap_or(line);
        (start, line.strip_suffix('\r').unwrap_or(line))
    })
}

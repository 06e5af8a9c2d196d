//! `healer completions` and `healer man`: what is made from the definition of the command line.

use crate::cli::{self, Shell};
use crate::config::HEALER_TOML_5;
use crate::host::files;
use crate::show::{Output, count, json};
use anyhow::{Context, Result};
use std::path::Path;

const HEALER_1: &str = include_str!("../../man/healer.1");
const HEALER_RULES_7: &str = include_str!("../../man/healer-rules.7");
const HEALER_JSON_7: &str = include_str!("../../man/healer-json.7");

pub fn completions(shell: Shell, out: &Output) -> Result<u8> {
    let script = String::from_utf8(cli::completions(shell)).context("the completions are no UTF-8")?;
    out.document(|| json::success(serde_json::json!({ "script": script })));
    out.text(script.trim_end());
    Ok(0)
}

/// Every page into the directory, which is made where it is missing.
pub fn man(dir: &Path, out: &Output) -> Result<u8> {
    files::ensure_dir(dir, 0o755).with_context(|| format!("cannot make the directory {}", dir.display()))?;
    let of_commands = cli::manual_pages(HEALER_1).context("cannot render the manual pages")?;
    let by_hand = [
        ("healer.1", HEALER_1),
        ("healer.toml.5", HEALER_TOML_5),
        ("healer-rules.7", HEALER_RULES_7),
        ("healer-json.7", HEALER_JSON_7),
    ];
    let by_hand = by_hand.map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec()));
    let mut written = Vec::new();
    for (name, page) in by_hand.into_iter().chain(of_commands) {
        let path = dir.join(&name);
        files::write_unsynced(&path, &page, 0o644).with_context(|| format!("cannot write {}", path.display()))?;
        written.push(name);
    }
    out.document(|| json::success(serde_json::json!({ "dir": dir.display().to_string(), "pages": written })));
    out.text(&format!("{} written to {}", count(written.len() as u64, "page"), dir.display()));
    Ok(0)
}

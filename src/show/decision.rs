//! What a pass decided, as one document: for a recording and for whoever replays it. The same whatever the terminal.

use crate::config::Redactor;
use crate::model::Analysis;
use crate::pass::Judged;
use crate::show::{Output, diagnosis, json};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A decision for people and for programs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Document {
    pub text: String,
    pub data: Value,
}

/// `act` is the plan that is carried out. A sentence is one line, however long.
pub fn document(analysis: &Analysis, judged: &[Judged], act: Option<&str>) -> Document {
    let out = Output {
        json: false,
        quiet: false,
        verbose: true,
        color: false,
        width: u16::MAX,
        note_width: u16::MAX,
        live: false,
        redactor: Redactor::default(),
    };
    let mut parts: Vec<String> = judged.iter().map(|j| diagnosis::judged(j, &out)).collect();
    let others = diagnosis::others_of(analysis);
    if !others.is_empty() {
        parts.push(others.join("\n"));
    }
    parts.push(act.map_or("decision: nothing is changed".to_owned(), |id| format!("decision: {id} is carried out")));
    let data = json!({
        "findings": analysis.findings,
        "diagnoses": judged.iter().map(json::judged).collect::<Vec<_>>(),
        "competing": analysis.competing,
        "not_fired": analysis.not_fired,
        "act": act,
    });
    Document { text: parts.join("\n\n"), data }
}

impl Document {
    /// The document with each of these texts replaced.
    ///
    /// # Errors
    /// When it is no JSON any more.
    pub fn replacing(self, texts: &BTreeMap<String, String>) -> Result<Document> {
        let replaced = |text: String| texts.iter().fold(text, |text, (from, to)| text.replace(from, to));
        if texts.is_empty() {
            return Ok(self);
        }
        let data = serde_json::from_str(&replaced(self.data.to_string())).context("the decision is no JSON")?;
        Ok(Document { text: replaced(self.text), data })
    }
}

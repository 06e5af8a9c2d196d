//! The shapes that Slack, Discord and ntfy read: within their limits, cut where it is seen, and with nothing in it that
//! they would take for markup or for the name of everybody.

use crate::alert::Alert;
use serde_json::{Value, json};

/// Slack cuts longer texts by itself from 40,000 on and asks for at most 4,000; Mattermost and Rocket.Chat read the same.
const SLACK: usize = 3900;
/// Of a message; in UTF-16 units.
const DISCORD_TITLE: usize = 900;
/// Of the description of an embed (4096), less its fence.
const DISCORD_TEXT: usize = 4000;
/// What is longer becomes an attachment.
const NTFY: usize = 4096;

/// One text: the head, and the rest as it is between fences, so that commands and diffs can be copied.
pub fn slack(alert: &Alert) -> Value {
    // `<!channel>` and links are written with these three characters.
    let width = |c: char| match c {
        '&' => 5,
        '<' | '>' => 4,
        c => c.len_utf16(),
    };
    let escaped = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let head = cut(&alert.headline(), 900, width);
    let rest = cut(&unfenced(&alert.details().join("\n")), SLACK - 950, width);
    let text =
        if rest.is_empty() { escaped(&head) } else { format!("{}\n```\n{}\n```", escaped(&head), escaped(&rest)) };
    json!({ "text": text, "unfurl_links": false, "unfurl_media": false })
}

pub fn discord(alert: &Alert) -> Value {
    let plain = |text: &str| {
        let markup = |c: char| "\\*_~`|>#[]()<-@".contains(c);
        text.chars().flat_map(|c| markup(c).then_some('\\').into_iter().chain([c])).collect::<String>()
    };
    let head = plain(&cut(&alert.headline(), DISCORD_TITLE, char::len_utf16));
    let rest = cut(&unfenced(&alert.details().join("\n")), DISCORD_TEXT, char::len_utf16);
    let embeds: Vec<Value> =
        (!rest.is_empty()).then(|| json!({ "description": format!("```\n{rest}\n```") })).into_iter().collect();
    json!({ "content": head, "embeds": embeds, "allowed_mentions": { "parse": [] } })
}

pub fn ntfy(alert: &Alert) -> String {
    cut(&alert.text(), NTFY, char::len_utf8)
}

/// A fence inside of a fence would end it.
fn unfenced(text: &str) -> String {
    text.replace("```", "'''")
}

/// The text where it fits; else as many whole lines of it as do (of a single line: as many characters), and a last line
/// that says so.
pub fn cut(text: &str, most: usize, width: impl Fn(char) -> usize) -> String {
    let size = |text: &str| text.chars().map(&width).sum::<usize>();
    if size(text) <= most {
        return text.to_owned();
    }
    let lines: Vec<&str> = text.lines().collect();
    let marker = |left: usize| match left {
        1 => "\u{2026} (cut: one more line; `healer status` has it all)".to_owned(),
        _ => format!("\u{2026} (cut: {left} more lines; `healer status` has it all)"),
    };
    // Room for the marker with the largest count that there may be; one line alone has none.
    let of_marker = if lines.len() > 1 { size(&marker(lines.len().max(10))) + 1 } else { 0 };
    let room = most.saturating_sub(of_marker);
    let (mut kept, mut used) = (String::new(), 0);
    for (at, line) in lines.iter().enumerate() {
        let more = size(line) + 1;
        if used + more > room {
            let left = lines.len() - at;
            if at > 0 {
                return format!("{kept}{}", marker(left));
            }
            // Not even the first one fits.
            let room = room.saturating_sub(size("\u{2026}"));
            let fits = |sum: &mut usize, c: char| {
                *sum += width(c);
                (*sum <= room).then_some(c)
            };
            let part: String = line.chars().scan(0, fits).collect();
            return if left > 1 { format!("{part}\u{2026}\n{}", marker(left - 1)) } else { format!("{part}\u{2026}") };
        }
        kept.push_str(line);
        kept.push('\n');
        used += more;
    }
    kept
}

//! `${...}` in URLs and headers: what it may name, where the value comes from, and what must be hidden afterwards. May
//! not live here: any output of a value.

use std::path::PathBuf;

/// What a `${...}` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// `${NAME}`: an environment variable.
    Env(String),
    /// `${file:/path}`.
    File(PathBuf),
    /// `${credential:NAME}`: a file in `$CREDENTIALS_DIRECTORY`.
    Credential(String),
}

impl std::fmt::Display for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Reference::Env(name) => write!(f, "${{{name}}}"),
            Reference::File(path) => write!(f, "${{file:{}}}", path.display()),
            Reference::Credential(name) => write!(f, "${{credential:{name}}}"),
        }
    }
}

/// Where values come from.
pub trait SecretSource {
    /// The value, without a final line end.
    ///
    /// # Errors
    /// With the second half of a sentence: why it could not be had.
    fn resolve(&self, reference: &Reference) -> Result<String, String>;
}

/// The environment, files and credentials of this process.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemSecrets;

/// The same, and a word in the place of a value that cannot be had: for what connects to nothing, such as the tests of
/// rules on a machine that is not meant to know the secrets.
#[derive(Debug, Clone, Copy, Default)]
pub struct SecretsWhereKnown;

impl SecretSource for SecretsWhereKnown {
    fn resolve(&self, reference: &Reference) -> Result<String, String> {
        // Also a whole URL, wherever one is asked for over HTTP.
        Ok(SystemSecrets.resolve(reference).unwrap_or_else(|_| "http://unknown.invalid/".into()))
    }
}

/// No key or token is longer.
const LARGEST_SECRET: u64 = 64 * 1024;

impl SecretSource for SystemSecrets {
    fn resolve(&self, reference: &Reference) -> Result<String, String> {
        let path = match reference {
            Reference::Env(name) => return std::env::var(name).map_err(|e| env_reason(&e).to_owned()),
            Reference::File(path) => path.clone(),
            Reference::Credential(name) => match std::env::var_os("CREDENTIALS_DIRECTORY") {
                Some(directory) => PathBuf::from(directory).join(name),
                None => return Err("$CREDENTIALS_DIRECTORY is not set: systemd sets it for LoadCredential=".into()),
            },
        };
        read_secret(&path).map_err(|reason| format!("{}: {reason}", path.display()))
    }
}

fn env_reason(error: &std::env::VarError) -> &'static str {
    match error {
        std::env::VarError::NotPresent => "the environment variable is not set",
        std::env::VarError::NotUnicode(_) => "the environment variable is no UTF-8",
    }
}

fn read_secret(path: &std::path::Path) -> Result<String, String> {
    use std::io::Read;
    let file = std::fs::File::open(path).map_err(|e| e.to_string())?;
    let mut text = String::new();
    let read = file.take(LARGEST_SECRET + 1).read_to_string(&mut text).map_err(|e| e.to_string())?;
    if read as u64 > LARGEST_SECRET {
        return Err("larger than 64 KiB".into());
    }
    let end = text.trim_end_matches(['\r', '\n']).len();
    text.truncate(end);
    Ok(text)
}

/// A text with its references resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expanded {
    pub text: String,
    /// Every form in which a secret could show up again.
    pub hidden: Vec<String>,
}

enum Piece {
    Literal(String),
    Reference(String),
}

/// Resolves the references of one value. In the user part of a URL the value is percent-encoded, so that a password
/// may hold any character. `$${` is a plain `${`.
///
/// # Errors
/// Every reference that cannot be resolved, as a sentence.
pub fn expand(template: &str, secrets: &dyn SecretSource) -> Result<Expanded, Vec<String>> {
    let pieces = pieces(template).map_err(|e| vec![e])?;
    let user_part = user_part(&pieces);
    let (mut text, mut hidden, mut errors) = (String::new(), Vec::new(), Vec::new());
    for (i, piece) in pieces.iter().enumerate() {
        let name = match piece {
            Piece::Literal(literal) => {
                text.push_str(literal);
                continue;
            }
            Piece::Reference(name) => name,
        };
        match reference(name).and_then(|r| secrets.resolve(&r).map_err(|e| format!("`${{{name}}}` has no value: {e}")))
        {
            Ok(value) if value.is_empty() => errors.push(format!("`${{{name}}}` is empty")),
            Ok(value) if value.contains(char::is_control) => {
                errors.push(format!("`${{{name}}}` holds a line break or another control character"));
            }
            Ok(value) => {
                text.push_str(&if user_part.contains(&i) { encode(&value, USER_CHARACTERS) } else { value.clone() });
                hidden.extend(forms(&value));
            }
            Err(error) => errors.push(error),
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    hidden.extend(url_secrets(&text));
    Ok(Expanded { text, hidden })
}

fn pieces(template: &str) -> Result<Vec<Piece>, String> {
    let (mut pieces, mut literal, mut rest) = (Vec::new(), String::new(), template);
    while let Some((before, after)) = rest.split_once("${") {
        literal.push_str(before);
        if literal.ends_with('$') {
            literal.push('{');
            rest = after;
            continue;
        }
        let Some((name, after)) = after.split_once('}') else {
            return Err("`${` is never closed by `}`; a plain `${` is written `$${`".into());
        };
        pieces.push(Piece::Literal(std::mem::take(&mut literal)));
        pieces.push(Piece::Reference(name.to_owned()));
        rest = after;
    }
    literal.push_str(rest);
    pieces.push(Piece::Literal(literal));
    Ok(pieces)
}

fn reference(name: &str) -> Result<Reference, String> {
    let syntax = "write `${NAME}`, `${file:/path}` or `${credential:NAME}`";
    if let Some(path) = name.strip_prefix("file:") {
        return match path.starts_with('/') {
            true => Ok(Reference::File(path.into())),
            false => Err(format!("`${{{name}}}` must name an absolute path")),
        };
    }
    let plain = |s: &str, more: &[char]| {
        !s.is_empty() && s.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || more.contains(&c))
    };
    if let Some(name) = name.strip_prefix("credential:") {
        let sound = plain(name, &['-', '.']) && !name.starts_with('.');
        return if sound {
            Ok(Reference::Credential(name.into()))
        } else {
            Err(format!("no credential can be named so: {syntax}"))
        };
    }
    let sound = plain(name, &[]) && !name.starts_with(|c: char| c.is_ascii_digit());
    if sound { Ok(Reference::Env(name.into())) } else { Err(format!("`${{...}}` names nothing: {syntax}")) }
}

/// Which pieces stand between `://` and the last `@` of the authority.
fn user_part(pieces: &[Piece]) -> Vec<usize> {
    // References as one letter each, so that what is in their names does not count.
    let mut text = String::new();
    let mut starts = Vec::new();
    for piece in pieces {
        starts.push(text.len());
        match piece {
            Piece::Literal(literal) => text.push_str(literal),
            Piece::Reference(_) => text.push('x'),
        }
    }
    let Some(from) = text.find("://").map(|i| i + 3) else { return Vec::new() };
    let rest = text.get(from..).unwrap_or_default();
    let authority = rest.get(..rest.find(['/', '?', '#']).unwrap_or(rest.len())).unwrap_or_default();
    let Some(to) = authority.rfind('@').map(|i| from + i) else { return Vec::new() };
    let inside = |(i, start): (usize, &usize)| (*start >= from && *start < to).then_some(i);
    starts.iter().enumerate().filter_map(inside).collect()
}

/// The password of a URL and the values of query parameters that are named like one, in every form.
pub fn url_secrets(url: &str) -> Vec<String> {
    let mut found = Vec::new();
    let Some((_, rest)) = url.split_once("://") else { return found };
    let (before_query, query) = rest.split_once('?').unwrap_or((rest, ""));
    if let Some((_, password)) = before_query.rsplit_once('@').and_then(|(user, _)| user.split_once(':')) {
        found.extend(forms(password));
    }
    for (key, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        if crate::config::mask::is_secret_key(key) {
            found.extend(forms(value));
        }
    }
    found
}

/// A secret as it is, percent-decoded, and encoded in the two usual ways.
pub fn forms(value: &str) -> Vec<String> {
    let plain = decode(value);
    let mut forms = vec![
        value.to_owned(),
        encode(value, USER_CHARACTERS),
        encode(value, ""),
        encode(&plain, USER_CHARACTERS),
        encode(&plain, ""),
        plain,
    ];
    forms.retain(|f| !f.is_empty());
    forms.sort();
    forms.dedup();
    forms
}

/// Characters besides letters and digits that the user part of a URL may hold as they are (RFC 3986, section 3.2.1,
/// without `:`, which ends the user's name).
const USER_CHARACTERS: &str = "-._~!$&'()*+,;=";

/// Percent-encodes everything but letters, digits, `-._~` and what is kept.
fn encode(text: &str, keep: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        let c = char::from(byte);
        if c.is_ascii_alphanumeric() || "-._~".contains(c) || keep.contains(c) {
            out.push(c);
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn decode(text: &str) -> String {
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        let mut ahead = bytes.clone();
        let digit = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16));
        match (byte, digit(ahead.next()), digit(ahead.next())) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                bytes = ahead;
            }
            _ => out.push(byte),
        }
    }
    String::from_utf8(out).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Redactor;

    struct Fake;

    impl SecretSource for Fake {
        fn resolve(&self, reference: &Reference) -> Result<String, String> {
            match reference {
                Reference::Env(name) if name == "PW" => Ok("p@ss/w:rd%41".into()),
                Reference::Env(name) if name == "EMPTY" => Ok(String::new()),
                Reference::Credential(name) if name == "slack" => Ok("https://hooks.example/T0/abcdef".into()),
                Reference::File(path) if path.ends_with("at@sign") => Ok("fromfile".into()),
                other => Err(format!("{other:?} is not there")),
            }
        }
    }

    #[test]
    fn references_are_resolved_and_encoded_where_a_url_needs_it() {
        for (template, text) in [
            ("postgres://u:${PW}@h/db", "postgres://u:p%40ss%2Fw%3Ard%2541@h/db"),
            ("Bearer ${PW}", "Bearer p@ss/w:rd%41"),
            ("http://h/${PW}?x=y@z", "http://h/p@ss/w:rd%41?x=y@z"),
            ("${credential:slack}", "https://hooks.example/T0/abcdef"),
            ("redis://:${file:/etc/at@sign}@h", "redis://:fromfile@h"),
            ("a $${PW} $x $", "a ${PW} $x $"),
        ] {
            assert_eq!(expand(template, &Fake).unwrap().text, text.replace("$${", "${"), "{template}");
        }
    }

    #[test]
    fn what_cannot_be_resolved_is_named() {
        for (template, error) in [
            ("${NO}", "`${NO}` has no value: Env(\"NO\") is not there"),
            ("${EMPTY}", "`${EMPTY}` is empty"),
            ("${", "`${` is never closed by `}`; a plain `${` is written `$${`"),
            ("${a b}", "`${...}` names nothing: write `${NAME}`, `${file:/path}` or `${credential:NAME}`"),
            ("${file:x}", "`${file:x}` must name an absolute path"),
            (
                "${credential:../x}",
                "no credential can be named so: write `${NAME}`, `${file:/path}` or `${credential:NAME}`",
            ),
        ] {
            assert_eq!(expand(template, &Fake), Err(vec![error.to_owned()]), "{template}");
        }
    }

    #[test]
    fn no_form_of_a_secret_passes_the_redactor() {
        let redactor = Redactor::new(expand("postgres://u:${PW}@h/db", &Fake).unwrap().hidden);
        for form in ["p@ss/w:rd%41", "p%40ss%2Fw%3Ard%2541", "p@ss/w:rdA"] {
            assert_eq!(redactor.redact(&format!("x {form} y")), "x *** y", "{form}");
        }
        let literal = Redactor::new(expand("redis://:hun%40ter@h/0?token=abcdef", &Fake).unwrap().hidden);
        assert_eq!(literal.redact("hun@ter hun%40ter abcdef"), "*** *** ***");
    }
}

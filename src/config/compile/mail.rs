//! `email` of `[alerts]`: who gets mail, and the mail server's URL. May not live here: sending.

use super::context::Cx;
use super::values;
use crate::config::at::{At, OneOrMany, Table};
use crate::config::raw::RawEmail;
use crate::config::{Email, Secret, Smtp, SmtpSecurity};
use std::net::IpAddr;

pub fn email(cx: Cx<'_>, Table { value: raw, span }: Table<RawEmail>) -> Option<Email> {
    let to = cx.required(&span, "to", raw.to).and_then(|to| recipients(cx, to));
    let from = raw.from.map(|from| address(cx, from));
    let smtp = cx.required(&span, "smtp", raw.smtp).and_then(|url| smtp(cx, &url));
    if from == Some(None) {
        return None;
    }
    Some(Email { to: to?, from: from.flatten(), smtp: smtp? })
}

fn recipients(cx: Cx<'_>, to: At<OneOrMany>) -> Option<Vec<String>> {
    let At { value, span } = to;
    let list = match value {
        OneOrMany::One(text) => vec![At { value: text, span }],
        OneOrMany::Many(list) if list.is_empty() => {
            if !cx.was_removed(&span, "") {
                cx.error(&span, "`to` names nobody");
            }
            return None;
        }
        OneOrMany::Many(list) => list,
    };
    list.into_iter().map(|one| address(cx, one)).collect()
}

fn address(cx: Cx<'_>, text: At<String>) -> Option<String> {
    if is_address(&text.value) {
        return Some(text.value);
    }
    cx.error_help(&text.span, "this is no mail address", "write `name@host`, without a display name");
    None
}

/// `name@host` of plain atoms (RFC 5321, without quoting): nothing in it can end a header or a command.
pub fn is_address(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else { return false };
    let atom = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+/=?^_`{|}~-".contains(c);
    let label = |l: &str| !l.is_empty() && l.len() < 64 && !l.starts_with('-') && !l.ends_with('-');
    local.len() <= 64
        && local.split('.').all(|part| !part.is_empty() && part.chars().all(atom))
        && domain.len() < 254
        && domain.split('.').all(|l| label(l) && l.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'))
}

fn smtp(cx: Cx<'_>, url: &At<String>) -> Option<Smtp> {
    let secret = values::url(cx, url, &["smtp", "smtps", "smtp+starttls"])?;
    let (scheme, rest) = secret.reveal().split_once("://")?;
    let (security, usual) = match scheme {
        "smtps" => (SmtpSecurity::Tls, 465),
        "smtp+starttls" => (SmtpSecurity::Starttls, 587),
        _ => (SmtpSecurity::None, 25),
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (login, server) = rest.rsplit_once('@').map_or((None, rest), |(login, server)| (Some(login), server));
    let login = match login.map(|login| credentials(cx, login)) {
        Some(None) => {
            let help = "write USER:PASSWORD@HOST; `%40` stands for `@`, `%3A` for `:`, `%25` for `%`";
            cx.error_help(&url.span, "this URL has a user without a password, or a broken `%`", help);
            return None;
        }
        login => login.flatten(),
    };
    let Some((host, port)) = host_and_port(server, usual) else {
        cx.error_help(&url.span, "this is no mail server", "write smtp://HOST:PORT, nothing behind the port");
        return None;
    };
    if login.is_some() && security == SmtpSecurity::None && !is_here(&host) {
        cx.warn(&url.span, "the password goes over the network in clear", "use smtp+starttls:// or smtps://");
    }
    Some(Smtp { host, port, security, login })
}

/// User and password; both are hidden from then on, the password whether it was a `${...}` or not.
fn credentials(cx: Cx<'_>, login: &str) -> Option<(Secret, Secret)> {
    let (user, password) = login.split_once(':')?;
    let (user, password) = (decoded(user)?, decoded(password)?);
    cx.hide([password.clone()]);
    (!user.is_empty() && !password.is_empty()).then(|| (Secret::new(user), Secret::new(password)))
}

fn decoded(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

fn host_and_port(server: &str, usual: u16) -> Option<(String, u16)> {
    let (host, port) = match server.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            host.parse::<IpAddr>().ok()?;
            (host, port.strip_prefix(':').or(port.is_empty().then_some(""))?)
        }
        None => server.split_once(':').unwrap_or((server, "")),
    };
    let sound = |c: char| c.is_ascii_alphanumeric() || ".-_:".contains(c);
    let port = if port.is_empty() { usual } else { port.parse().ok()? };
    (!host.is_empty() && host.chars().all(sound)).then(|| (host.to_owned(), port))
}

fn is_here(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_plain_atoms_and_nothing_else() {
        for sound in ["a@b", "ops@example.org", "a.b+c@x-y.example.org", "root@localhost"] {
            assert!(is_address(sound), "{sound}");
        }
        for broken in ["", "a", "@b", "a@", "a b@c", "a@b\r\nBcc: x@y", "A <a@b>", "a@b,c@d", "a..b@c", "a@-b", "a@b@c"]
        {
            assert!(!is_address(broken), "{broken}");
        }
    }

    #[test]
    fn percent_signs_stand_for_bytes() {
        let check = |text: &str, expected: Option<&str>| assert_eq!(decoded(text).as_deref(), expected, "{text}");
        check("a%40b%3A", Some("a@b:"));
        check("%C3%A4", Some("ä"));
        check("plain", Some("plain"));
        for broken in ["%", "%4", "%zz", "%ff"] {
            check(broken, None);
        }
    }

    #[test]
    fn a_server_is_a_host_and_perhaps_a_port() {
        let check = |server: &str, expected: Option<(&str, u16)>| {
            assert_eq!(host_and_port(server, 25), expected.map(|(host, port)| (host.to_owned(), port)), "{server}");
        };
        check("mail", Some(("mail", 25)));
        check("127.0.0.1:2525", Some(("127.0.0.1", 2525)));
        check("[::1]", Some(("::1", 25)));
        check("[::1]:26", Some(("::1", 26)));
        for broken in ["", "a/b", "a:b", "a:99999", "[x]:1", "[::1]x", "a?tls=none"] {
            check(broken, None);
        }
    }
}

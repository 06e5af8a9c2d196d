//! Who may do what: judged from the head of a request alone, before anything is read or done.
//!
//! Pure. May not live here: sockets, files, what the routes do.

use crate::config::Secret;
use hyper::header::{
    AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, HeaderName, ORIGIN, TRANSFER_ENCODING,
};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
use sha2::{Digest, Sha256};

/// Names, values and the line of a request together, in bytes.
pub const LONGEST_HEAD: usize = 16 << 10;
/// The body of a request, in bytes.
pub const LONGEST_BODY: u64 = 64 << 10;

/// Whom requests are held against.
#[derive(Debug, Clone)]
pub struct Guard {
    /// Under which names this server is reached, in lower case, without port.
    pub hosts: Vec<String>,
    /// It listens on every address, so any of them may be named: an address cannot be made to mean another host.
    pub any_address: bool,
    pub token: Option<Secret>,
    /// Only this host can connect.
    pub loopback: bool,
    /// `--enable-actions`.
    pub actions: bool,
}

/// What a route lets out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Nothing of this host: the page's own frame, its script and style.
    Open,
    /// How things stand.
    Read,
    /// Log text, diffs and events.
    Private,
    /// Something is done.
    Act,
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// May be told how things stand.
    pub may_read: bool,
    /// May be told log text, diffs and events.
    pub may_read_all: bool,
}

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub status: StatusCode,
    pub message: String,
}

pub fn refuse<T>(status: StatusCode, message: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal { status, message: message.into() })
}

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

impl Guard {
    /// Whether the request is for this server and from nobody else's page: asked before its path is looked at.
    ///
    /// # Errors
    /// 431, 421 or 403.
    pub fn admit(&self, head: &Parts) -> Result<(), Refusal> {
        let fields: usize = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
        if fields + head.uri.path().len() + head.uri.query().map_or(0, str::len) > LONGEST_HEAD {
            let message = format!("the head of a request may have {LONGEST_HEAD} bytes");
            return refuse(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, message);
        }
        let Some(authority) = authority(head) else {
            return refuse(StatusCode::MISDIRECTED_REQUEST, "a request needs one Host header");
        };
        let host = host_of(&authority);
        let is_address = || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok();
        let is_ours = self.hosts.iter().any(|known| *known == host) || (self.any_address && is_address());
        if !is_ours {
            let message =
                "this server does not answer to that Host; names it has beside its address are `hosts` in [serve]";
            return refuse(StatusCode::MISDIRECTED_REQUEST, message);
        }
        for origin in head.headers.get_all(ORIGIN) {
            if !origin.to_str().is_ok_and(|origin| is_same(origin, &authority)) {
                return refuse(StatusCode::FORBIDDEN, "requests of other sites' pages are refused");
            }
        }
        if head.method == Method::POST {
            let from_here = |site: &[u8]| matches!(site, b"same-origin" | b"none");
            if !head.headers.get_all(SEC_FETCH_SITE).iter().all(|site| from_here(site.as_bytes())) {
                return refuse(StatusCode::FORBIDDEN, "requests of other sites' pages are refused");
            }
        }
        Ok(())
    }

    /// Who asks, and whether he may have this.
    ///
    /// # Errors
    /// 401, 403, 413 or 415.
    pub fn allow(&self, head: &Parts, access: Access) -> Result<Caller, Refusal> {
        let known = self.knows(&head.headers)?;
        let caller =
            Caller { may_read: known || self.loopback, may_read_all: known || (self.loopback && self.token.is_none()) };
        let unknown = || refuse(StatusCode::UNAUTHORIZED, "give the token: `Authorization: Bearer TOKEN`");
        match access {
            Access::Open => {}
            Access::Read if caller.may_read => {}
            Access::Private if caller.may_read_all => {}
            Access::Read | Access::Private => return unknown(),
            Access::Act if !self.actions => {
                let message = "actions are off: `healer serve --enable-actions` allows them";
                return refuse(StatusCode::FORBIDDEN, message);
            }
            Access::Act if !known => return unknown(),
            Access::Act => body_of(&head.headers)?,
        }
        Ok(caller)
    }

    /// Whether the token was given. A wrong one is refused whatever is asked for.
    fn knows(&self, headers: &HeaderMap) -> Result<bool, Refusal> {
        let mut given = headers.get_all(AUTHORIZATION).iter();
        let Some(first) = given.next() else { return Ok(false) };
        let bearer = first.to_str().ok().and_then(|value| value.split_once(' '));
        let token = bearer.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, token)| token.trim());
        match (&self.token, token) {
            (Some(own), Some(token)) if given.next().is_none() && is_equal(own.reveal(), token) => Ok(true),
            (None, _) => refuse(StatusCode::UNAUTHORIZED, "no token is set: `token` in [serve]"),
            _ => refuse(StatusCode::UNAUTHORIZED, "this is not the token"),
        }
    }
}

/// In a time that says nothing about where they differ.
fn is_equal(own: &str, given: &str) -> bool {
    let (own, given) = (Sha256::digest(own.as_bytes()), Sha256::digest(given.as_bytes()));
    own.iter().zip(given.iter()).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}

/// The body of an action is JSON, and small.
fn body_of(headers: &HeaderMap) -> Result<(), Refusal> {
    let length = headers.get(CONTENT_LENGTH).and_then(|l| l.to_str().ok()?.parse::<u64>().ok()).unwrap_or(0);
    if length > LONGEST_BODY {
        return refuse(StatusCode::PAYLOAD_TOO_LARGE, format!("a body may have {LONGEST_BODY} bytes"));
    }
    let has_body = length > 0 || headers.contains_key(TRANSFER_ENCODING);
    let kind = headers.get(CONTENT_TYPE).map(|kind| kind.to_str().unwrap_or_default());
    let is_json =
        |kind: &str| kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"));
    match kind {
        Some(kind) if is_json(kind) => Ok(()),
        None if !has_body => Ok(()),
        _ => refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, "a body must be `Content-Type: application/json`"),
    }
}

/// The one authority that the request names.
fn authority(head: &Parts) -> Option<String> {
    let mut hosts = head.headers.get_all(HOST).iter();
    let host = hosts.next()?.to_str().ok()?;
    let of_target = head.uri.authority().map(|a| a.as_str());
    let one = hosts.next().is_none() && of_target.is_none_or(|target| target.eq_ignore_ascii_case(host));
    one.then(|| host.to_ascii_lowercase())
}

/// Without its port.
fn host_of(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port))
            if port.bytes().all(|b| b.is_ascii_digit()) && (!host.contains(':') || host.ends_with(']')) =>
        {
            host
        }
        _ => authority,
    }
}

/// Whether an origin is that of this authority, under either scheme: TLS may end before us.
fn is_same(origin: &str, authority: &str) -> bool {
    let origin = origin.to_ascii_lowercase();
    let of = |scheme: &str, port: &str| {
        origin.strip_prefix(scheme).is_some_and(|of| {
            let plain = |text: &str| text.strip_suffix(port).unwrap_or(text).to_owned();
            plain(of) == plain(authority)
        })
    };
    of("http://", ":80") || of("https://", ":443")
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::Request;

    const TOKEN: &str = "0123456789abcdef0123456789abcdef";

    fn guard(token: bool, loopback: bool, actions: bool) -> Guard {
        let hosts = ["127.0.0.1", "localhost", "[::1]", "ops.example.org"];
        Guard {
            hosts: hosts.map(str::to_owned).to_vec(),
            any_address: false,
            token: token.then(|| Secret::new(TOKEN)),
            loopback,
            actions,
        }
    }

    fn head(method: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().method(method).uri("/x");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn only_requests_for_this_server_and_of_its_own_pages_are_admitted() {
        let check = |method: &str, headers: &[(&str, &str)], status: u16| {
            let admitted = guard(true, true, true).admit(&head(method, headers));
            assert_eq!(admitted.map_or_else(|r| r.status.as_u16(), |()| 200), status, "{method} {headers:?}");
        };
        check("GET", &[("host", "127.0.0.1:8787")], 200);
        check("GET", &[("host", "LocalHost")], 200);
        check("GET", &[("host", "[::1]:8787")], 200);
        check("GET", &[("host", "ops.example.org")], 200);
        for host in [
            "evil.example",
            "127.0.0.1.evil.example:8787",
            "127.0.0.1:8787@evil.example",
            "",
            "[::1",
            "::1",
            "127.0.0.1:x",
        ] {
            check("GET", &[("host", host)], 421);
        }
        check("GET", &[], 421);
        // On every address any of them is one of ours, and no name is.
        let everywhere = Guard { any_address: true, ..guard(true, false, true) };
        for (host, fits) in [("192.0.2.7:8787", true), ("[2001:db8::1]:8787", true), ("evil.example", false)] {
            assert_eq!(everywhere.admit(&head("GET", &[("host", host)])).is_ok(), fits, "{host}");
        }
        check("GET", &[("host", "localhost"), ("host", "localhost")], 421);
        let from = |origin: &'static str| [("host", "localhost:8787"), ("origin", origin)];
        for method in ["GET", "POST"] {
            check(method, &from("http://localhost:8787"), 200);
            check(method, &from("https://localhost:8787"), 200);
            for origin in [
                "http://localhost",
                "http://localhost:8788",
                "http://evil.example",
                "null",
                "",
                "http://localhost:8787.evil.example",
            ] {
                check(method, &from(origin), 403);
            }
        }
        check("POST", &[("host", "ops.example.org"), ("origin", "https://ops.example.org")], 200);
        check("POST", &[("host", "ops.example.org:443"), ("origin", "https://ops.example.org")], 200);
        for (site, status) in [("same-origin", 200), ("none", 200), ("same-site", 403), ("cross-site", 403), ("", 403)]
        {
            check("POST", &[("host", "localhost"), ("sec-fetch-site", site)], status);
        }
        check("GET", &[("host", "localhost"), ("sec-fetch-site", "cross-site")], 200);
        check("GET", &[("host", "localhost"), ("x", &"a".repeat(LONGEST_HEAD - 30))], 200);
        check("GET", &[("host", "localhost"), ("x", &"a".repeat(LONGEST_HEAD))], 431);
    }

    #[test]
    fn what_a_caller_may_have_depends_on_the_token_and_the_address() {
        use Access::{Act, Open, Private, Read};
        let check = |guard: Guard, given: Option<&str>, access: Access, status: u16| {
            let headers: Vec<(&str, &str)> = given.map(|token| ("authorization", token)).into_iter().collect();
            let allowed = guard.allow(&head("POST", &headers), access);
            let found = allowed.map_or_else(|r| r.status.as_u16(), |_| 200);
            assert_eq!(found, status, "{given:?} {access:?} {guard:?}");
        };
        let right = format!("Bearer {TOKEN}");
        // Loopback, no token: everything can be read, nothing done.
        for access in [Open, Read, Private] {
            check(guard(false, true, false), None, access, 200);
        }
        check(guard(false, true, false), None, Act, 403);
        // Loopback with a token: log text needs it.
        for (access, without) in [(Open, 200), (Read, 200), (Private, 401), (Act, 401)] {
            check(guard(true, true, true), None, access, without);
            check(guard(true, true, true), Some(&right), access, 200);
            for wrong in ["Bearer x", "Bearer ", "Bearer", TOKEN, "Basic abc", &format!("Bearer {TOKEN}0")] {
                check(guard(true, true, true), Some(wrong), access, 401);
            }
        }
        check(guard(true, true, true), Some(&format!("bearer {TOKEN}")), Private, 200);
        // Another address: nothing without the token.
        for (access, without) in [(Open, 200), (Read, 401), (Private, 401), (Act, 401)] {
            check(guard(true, false, true), None, access, without);
            check(guard(true, false, true), Some(&right), access, 200);
        }
        check(guard(true, false, false), Some(&right), Act, 403);
    }

    #[test]
    fn the_body_of_an_action_is_json_and_small() {
        let check = |headers: &[(&str, &str)], status: u16| {
            let found = body_of(&head("POST", headers).headers).map_or_else(|r| r.status.as_u16(), |()| 200);
            assert_eq!(found, status, "{headers:?}");
        };
        check(&[], 200);
        check(&[("content-length", "0")], 200);
        check(&[("content-length", "2"), ("content-type", "application/json")], 200);
        check(&[("content-length", "2"), ("content-type", "Application/JSON; charset=utf-8")], 200);
        check(&[("content-length", "2")], 415);
        check(&[("transfer-encoding", "chunked")], 415);
        check(&[("content-type", "text/plain")], 415);
        check(&[("content-length", "2"), ("content-type", "application/x-www-form-urlencoded")], 415);
        check(&[("content-length", "65536"), ("content-type", "application/json")], 200);
        check(&[("content-length", "65537"), ("content-type", "application/json")], 413);
    }
}

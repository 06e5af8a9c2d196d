//! What the page says, that nothing from outside becomes markup, and that it stays small.

mod example;
mod hostile;
mod says;

use super::{SCRIPT, STYLE, locked, main, page};
use example::Example;

#[test]
fn a_quiet_installation_is_a_small_page() {
    let page = page(&Example::quiet().view());
    assert!(page.len() < 40_000, "page: {} bytes", page.len());
    assert!(SCRIPT.len() + STYLE.len() < 40_000, "script and style: {} bytes", SCRIPT.len() + STYLE.len());
}

#[test]
fn what_is_fetched_again_is_what_the_page_holds() {
    let example = Example::busy();
    let main = main(&example.view());
    assert!(page(&example.view()).contains(&format!("<main id=\"main\" tabindex=\"-1\">{main}</main>")));
}

#[test]
fn who_may_be_told_nothing_is_asked_for_the_token() {
    let sections = regex::Regex::new(r#"<section id="([^"]*)""#).unwrap();
    let found: Vec<String> = sections.captures_iter(&locked()).map(|found| found[1].to_owned()).collect();
    assert_eq!(found, ["locked"]);
    assert!(locked().contains("data-act=\"token\"") && locked().contains("src=\"/app.js\""));
}

#[test]
fn nothing_is_asked_of_anybody_else() {
    let page = page(&Example::busy().view());
    let addresses = regex::Regex::new(r#"(?:src|href)="([^"]*)""#).unwrap();
    for address in addresses.captures_iter(&page) {
        let ours = ["/style.css", "/app.js", "#main"].contains(&&address[1]) || address[1].starts_with("data:");
        assert!(ours, "{}", &address[1]);
    }
    for inline in [" style=", "<style", "javascript:", "<script>"] {
        assert!(!page.contains(inline), "{inline}");
    }
    assert!(!regex::Regex::new(r"<[a-z]+[^>]* on[a-z]+=").unwrap().is_match(&page));
    for text in [SCRIPT, STYLE] {
        assert!(!text.contains("://") && !text.contains("@import") && !text.contains("url("));
    }
}

#[test]
fn a_look_a_minute_later_draws_the_same_but_for_what_counts_by_itself() {
    let mut example = Example::quiet();
    let ticking =
        regex::Regex::new(r#"(<(?:time|span)[^>]* data-(?:since|until)="[^"]*">)[^<]*|data-now="\d+""#).unwrap();
    let first = main(&example.view());
    example.now = example.now.checked_add(jiff::SignedDuration::from_secs(60)).unwrap();
    let second = main(&example.view());
    assert_ne!(first, second);
    assert_eq!(ticking.replace_all(&first, "$1"), ticking.replace_all(&second, "$1"));
}

/// `HEALER_PAGES=DIR cargo test --lib pages_to_look_at -- --ignored` writes pages with their script and style sheet.
#[test]
#[ignore = "writes files to look at"]
fn pages_to_look_at() {
    let dir = std::path::PathBuf::from(std::env::var("HEALER_PAGES").expect("HEALER_PAGES names a directory"));
    let mut hidden = Example::busy();
    (hidden.may_read, hidden.may_act) = (false, false);
    let mut gave_up = Example::quiet();
    gave_up.passed(1_020);
    gave_up.hold("rollback_failed");
    gave_up.trip();
    gave_up.pause(None);
    gave_up.status.silent.push("rule old-format has matched nothing for 9d".into());
    let hostile = hostile::hostile("\"><img src=x onerror=alert(1)>aNameThatIsLongAndHasNoSpaceInIt_aNameThatIsLong");
    let drawn = |example: &Example| page(&example.view());
    let pages = [
        ("new", drawn(&Example::new())),
        ("quiet", drawn(&Example::quiet())),
        ("busy", drawn(&Example::busy())),
        ("hidden", drawn(&hidden)),
        ("gave_up", drawn(&gave_up)),
        ("hostile", drawn(&hostile)),
        ("locked", locked()),
    ];
    for (name, html) in pages {
        let html = html.replace("=\"/style.css\"", "=\"style.css\"").replace("=\"/app.js\"", "=\"app.js\"");
        std::fs::write(dir.join(format!("{name}.html")), html).unwrap();
    }
    std::fs::write(dir.join("style.css"), STYLE).unwrap();
    std::fs::write(dir.join("app.js"), SCRIPT).unwrap();
}

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

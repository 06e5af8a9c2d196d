//! By keyboard alone; and the token, which is typed once and kept in its tab.

use super::{ENTER, ESCAPE, Page, TAB, scene};
use crate::support::TOKEN;

/// Presses Tab until the focus is on what the selector means.
#[track_caller]
fn tab_to(page: &Page, selector: &str) {
    for _ in 0..60 {
        page.browser.press(TAB);
        if is_on(page, selector) {
            return;
        }
    }
    panic!("{selector} is not reached by Tab");
}

#[track_caller]
fn is_on(page: &Page, selector: &str) -> bool {
    page.browser.js(&format!("document.activeElement.matches('{selector}')")) == true
}

#[test]
fn everything_is_done_by_keyboard_and_the_focus_is_never_lost() {
    let scene = scene(|_| {});
    scene.heal().expect_code(0);
    let Some(page) = Page::of(&scene) else { return };
    let (token, check) = (".tools [data-act=token]", "#verdict [data-act=check]");
    page.browser.press(TAB);
    assert!(is_on(&page, ".skip"), "the first is the link over everything before the content");
    page.browser.until("document.activeElement.getBoundingClientRect().top >= 0");
    page.browser.press(ENTER);
    page.browser.until("location.hash === '#main' && document.activeElement.id === 'main'");
    page.browser.reload();

    tab_to(&page, token);
    let outline = "getComputedStyle(document.activeElement).outlineStyle";
    assert_eq!(page.browser.text(outline), "solid", "the focus is seen");
    page.browser.press(ENTER);
    page.browser.until("document.querySelector('#token').open && document.activeElement.id === 'secret'");
    page.browser.press(ESCAPE);
    page.browser.until("!document.querySelector('#token').open");
    assert!(is_on(&page, token), "the focus is back");
    page.browser.press(&format!("{ENTER}{TOKEN}{ENTER}"));
    page.browser
        .until("!document.querySelector('#token').open && document.querySelector('#clock').dataset.read === 'yes'");
    assert!(is_on(&page, token));

    tab_to(&page, check);
    page.browser.press(ENTER);
    page.browser.until("document.querySelector('#ask').open");
    assert!(page.browser.js("document.querySelector('#ask').contains(document.activeElement)") == true);
    let passes = scene.event_kinds().len();
    page.browser.press(ESCAPE);
    page.browser.until("!document.querySelector('#ask').open");
    assert!(is_on(&page, check), "the focus is back");
    page.browser.press(ENTER);
    page.browser.until("document.querySelector('#ask').open");
    assert_eq!(scene.event_kinds().len(), passes, "Escape does nothing");
    page.browser.press(ENTER);
    page.until_says("#said", "Checked: healthy, 0 issues.");
    page.browser.until(&format!("document.activeElement.matches('{check}')"));
    assert!(scene.event_kinds().len() > passes, "a pass was run");
}

#[test]
fn the_token_is_typed_once_and_known_to_its_tab_alone() {
    let scene = scene(|_| {});
    scene.heal().expect_code(0);
    let Some(page) = Page::of(&scene) else { return };
    page.until_says("#verdict", "they need the token");
    page.give_token("another-token-0123456789abcdef0123456789");
    page.until_says("#token", "This token was refused.");
    page.browser.press(&format!("{TOKEN}{ENTER}"));
    page.browser.until("document.querySelector('#clock').dataset.read === 'yes'");
    page.browser.until("document.querySelector('#line').className === ''");

    let kept = |page: &Page| page.browser.text("Object.values(sessionStorage).join()");
    assert_eq!(kept(&page), TOKEN);
    page.browser.reload();
    page.browser.until("document.querySelector('#clock').dataset.read === 'yes'");
    for (place, expression) in [
        ("what stays", "JSON.stringify(localStorage) + document.cookie"),
        ("the address", "location.href"),
        ("the page", "document.documentElement.outerHTML"),
        ("a field", "[...document.querySelectorAll('input')].map(e => e.value).join()"),
    ] {
        assert!(!page.browser.text(expression).contains(TOKEN), "in {place}");
    }
    for to in page.browser.requests() {
        assert!(!to.contains(TOKEN), "{to}");
    }
    page.browser.new_tab();
    page.browser.go(&page.address());
    page.until_says("#verdict", "they need the token");
    assert_eq!(kept(&page), "", "another tab");
}

//! How it looks: on a phone, in the dark; and that what a log or a check says is never more than text.

use super::{ESCAPE, Page, healthy_checks, scene};
use crate::support::{RATE_LIMITED, Scene};

/// Of everything that shows text: what it says, and how its colour stands out from what is behind it (WCAG 2).
const CONTRASTS: &str = "
    const parts = (color) => color.match(/[\\d.]+/g).map(Number);
    const luminance = (rgb) => {
        const [r, g, b] = rgb.slice(0, 3).map(v => v / 255).map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
        return .2126 * r + .7152 * g + .0722 * b;
    };
    const behind = (e) => {
        for (; e; e = e.parentElement) {
            const color = parts(getComputedStyle(e).backgroundColor);
            if (color.length === 3 || color[3] === 1) return color;
        }
        return [255, 255, 255];
    };
    const own = (e) => [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim());
    return [...document.querySelectorAll('body *')].filter(e => own(e) && e.checkVisibility()).map(e => {
        const [a, b] = [luminance(parts(getComputedStyle(e).color)), luminance(behind(e))];
        const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
        return [e.localName + '.' + e.className + ' ' + e.textContent.slice(0, 40), ratio];
    });";

/// A name as long as names get to be, without a place to break it.
const LONG: &str = "a_check_with_a_name_that_is_as_long_as_names_get_to_be_and_longer_than_a_phone_is_wide";

/// Checks of every status, something held, something that happened: as these texts say.
fn full_scene(name: &str, cause: &str, said: &str, logged: &str) -> Scene {
    let scene = scene(|p| {
        p.top = "mode = \"suggest\"".into();
        p.checks = [(name, 2), ("disk", 1), ("queue", 0), ("raid", 3)]
            .map(|(name, code)| {
                let command = format!("[\"/bin/sh\", \"-c\", \"cat {{root}}/said; exit {code}\"]");
                format!("[checks.command.{name}]\ncommand = {command}\n")
            })
            .concat();
    });
    scene.root.write("said", said);
    let toml = scene.root.read_text("healer.toml");
    scene.root.config(&toml.replace("was rate limited {count} times", cause));
    scene.heal();
    scene.root.append("worker.log", RATE_LIMITED.replace("worker request failed", logged).repeat(20));
    scene.heal().expect_code(10);
    scene
}

/// Opens everything that opens.
fn open_all(page: &Page) {
    page.browser.run("document.querySelectorAll('details').forEach(e => { e.open = true; })");
}

#[track_caller]
fn assert_contrasts(page: &Page, scheme: &str) {
    page.prefers(scheme);
    open_all(page);
    let found = page.browser.run(CONTRASTS);
    let found: Vec<(String, f64)> = serde_json::from_value(found).unwrap();
    assert!(found.len() > 60, "{found:?}");
    for word in ["critical", "warning", "healthy", "unknown", "held", "+\tawait", "-\tawait"] {
        assert!(found.iter().any(|(what, _)| what.contains(word)), "{word} is not shown: {found:#?}");
    }
    let weak: Vec<_> = found.iter().filter(|(_, ratio)| *ratio < 4.5).collect();
    assert!(weak.is_empty(), "{scheme}: {weak:#?}");
}

#[test]
fn text_stands_out_in_the_light_and_in_the_dark() {
    let scene = full_scene("backup", "was refused", "said", "request failed");
    let Some(page) = Page::unlocked(&scene) else { return };
    let background = || page.browser.text("getComputedStyle(document.body).backgroundColor");
    assert_contrasts(&page, "light");
    let light = background();
    assert_contrasts(&page, "dark");
    assert_ne!(background(), light);
}

/// Opens everything, and fails when the page can be scrolled sideways.
#[track_caller]
fn assert_fits(page: &Page, width: u32, what: &str) {
    page.screen(width, 740);
    open_all(page);
    let [wide, there]: [u64; 2] = serde_json::from_value(
        page.browser.js("[document.documentElement.scrollWidth, document.documentElement.clientWidth]"),
    )
    .unwrap();
    let beyond = page.browser.js(
        "[...document.querySelectorAll('body *')].filter(e => e.checkVisibility() && !e.closest('pre, .box, .vh, thead'))
            .filter(e => e.getBoundingClientRect().right > innerWidth + 1).slice(0, 5).map(e => e.outerHTML.slice(0, 150))",
    );
    assert!(there == u64::from(width) && wide <= there, "{what}: {wide} of {there} pixels: {beyond:#}");
}

#[test]
fn a_phone_needs_no_scrolling_sideways() {
    let held = scene(|p| {
        p.top = "mode = \"suggest\"".into();
        healthy_checks(p);
    });
    held.heal().expect_code(0);
    held.log_errors(20);
    held.heal().expect_code(10);
    let Some(page) = Page::unlocked(&held) else { return };
    page.prefers("light");
    page.screen(360, 740);
    page.picture("phone.png");
    assert_fits(&page, 360, "a plan is held");
    for (dialog, button) in [("#ask", "#needs [data-act=apply]"), ("#token", ".tools [data-act=token]")] {
        page.browser.click(button);
        page.browser.until(&format!("document.querySelector('{dialog}').open"));
        assert_fits(&page, 360, dialog);
        page.browser.press(ESCAPE);
        page.browser.until(&format!("!document.querySelector('{dialog}').open"));
    }
    let small = "[...document.querySelectorAll('button, input, summary')]
        .filter(e => e.checkVisibility() && Math.min(e.offsetHeight, e.offsetWidth) < 16).map(e => e.outerHTML)";
    assert_eq!(page.browser.js(small), serde_json::json!([]), "nothing too small for a finger");
    let page = page.on(&full_scene("disks", "failed {count} times", "last one 3 h ago", "request failed"));
    assert_fits(&page, 360, "every status");
    let endless = "NoSpaceInIt_".repeat(40);
    let page = page.on(&full_scene(LONG, &endless, &endless, &endless));
    assert_fits(&page, 360, "endless names");
}

#[test]
fn what_logs_rules_and_checks_say_is_text_and_nothing_else() {
    let cause = r#"<img src=x onerror=alert(1)> \u202egnp.exe \"'><script>alert(2)</script>"#;
    let said = "<iframe src=javascript:alert(3)></iframe> \u{202e}live \u{1b}[31m</td></table><form action=//x>";
    let logged = "</pre><svg onload=alert(4)> \u{202e}live \u{1b}[2J<a href='javascript:alert(5)'>x</a> {{7*7}}";
    let scene = full_scene("backup", cause, said, logged);
    let Some(page) = Page::unlocked(&scene) else { return };
    open_all(&page);
    let text = page.browser.text("document.querySelector('#main').textContent");
    for shown in [
        r#"<img src=x onerror=alert(1)> \u{202e}gnp.exe "'><script>alert(2)</script>"#,
        "<iframe src=javascript:alert(3)></iframe> ",
        "</td></table><form action=//x>",
        "</pre><svg onload=alert(4)> ",
        "<a href='javascript:alert(5)'>x</a> {{7*7}}",
    ] {
        assert!(text.contains(shown), "{shown} is shown as it is:\n{text}");
    }
    let invisible = |c: char| (c.is_control() && c != '\n' && c != '\t') || ('\u{202a}'..='\u{202e}').contains(&c);
    assert!(!text.contains(invisible), "{text:?}");
    let foreign = "[...document.querySelectorAll('#main *')].filter(e =>
        ['img', 'script', 'iframe', 'form', 'a', 'style', 'link', 'object'].includes(e.localName)
        || [...e.attributes].some(a => a.name.startsWith('on') || a.name === 'href' || a.name === 'src'))
        .map(e => e.outerHTML)";
    assert_eq!(page.browser.js(foreign), serde_json::json!([]));
    assert!(!page.browser.is_asked(), "nothing of it was run");
    assert_eq!(page.browser.console(), [""; 0]);
}

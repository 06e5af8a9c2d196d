//! The dashboard in a real browser: a real `healer serve`, real passes, real files.
//!
//! With `HEALER_SCREENSHOTS=DIR` the pictures of the README are written there.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

#[path = "dashboard/acting.rs"]
mod acting;
#[path = "dashboard/hands.rs"]
mod hands;
#[path = "dashboard/looks.rs"]
mod looks;
#[path = "dashboard/stays_true.rs"]
mod stays_true;

use serde_json::json;
use support::{Browser, HttpServer, Parts, SERVING, Scene, Server, TOKEN};

const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";
const ESCAPE: &str = "\u{e00c}";

/// What the page says in one sentence.
const VERDICT: &str = "document.querySelector('h1').textContent";

/// A browser with the page of a scene in it.
struct Page {
    browser: Browser,
    server: Server,
}

impl Page {
    /// `None`, recorded as a skip, without a browser.
    #[track_caller]
    fn of(scene: &Scene) -> Option<Page> {
        let browser = Browser::start()?;
        let server = Server::start(&scene.root);
        let page = Page { browser, server };
        page.browser.go(&page.address());
        Some(page)
    }

    /// With the token given.
    #[track_caller]
    fn unlocked(scene: &Scene) -> Option<Page> {
        let page = Page::of(scene)?;
        page.give_token(TOKEN);
        page.browser.until("document.querySelector('#clock').dataset.read === 'yes'");
        Some(page)
    }

    /// The same browser on another scene.
    #[track_caller]
    fn on(self, scene: &Scene) -> Page {
        let page = Page { server: Server::start(&scene.root), ..self };
        page.browser.go(&page.address());
        page.give_token(TOKEN);
        page.browser.until("document.querySelector('#clock').dataset.read === 'yes'");
        page
    }

    fn address(&self) -> String {
        format!("http://{}/", self.server.address)
    }

    #[track_caller]
    fn give_token(&self, token: &str) {
        self.browser.click(".tools [data-act=token]");
        self.browser.until("document.querySelector('#token').open");
        self.browser.press(&format!("{token}{ENTER}"));
    }

    /// Presses a button and says yes to what it asks; returns the question.
    #[track_caller]
    fn press_and_confirm(&self, button: &str) -> String {
        self.browser.click(button);
        self.browser.until("document.querySelector('#ask').open");
        let asked = self.browser.text("document.querySelector('#ask').innerText");
        self.browser.click("#yes");
        asked
    }

    /// Waits until the verdict begins so.
    #[track_caller]
    fn until_verdict(&self, start: &str) {
        self.browser.until(&format!("{VERDICT}.startsWith({})", json!(start)));
    }

    /// Waits until a part of the page holds a text.
    #[track_caller]
    fn until_says(&self, selector: &str, text: &str) {
        self.browser.until(&format!("document.querySelector({}).innerText.includes({})", json!(selector), json!(text)));
    }

    /// What a part of the page shows; nothing where it is not there.
    #[track_caller]
    fn shown(&self, selector: &str) -> String {
        self.browser.text(&format!("document.querySelector({})?.innerText ?? ''", json!(selector)))
    }

    #[track_caller]
    fn prefers(&self, scheme: &str) {
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.browser.cdp("Emulation.setEmulatedMedia", media);
    }

    #[track_caller]
    fn screen(&self, width: u32, height: u32) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.browser.cdp("Emulation.setDeviceMetricsOverride", size);
    }

    /// A picture for the README, where one is wanted.
    #[track_caller]
    fn picture(&self, name: &str) {
        let Some(dir) = std::env::var_os("HEALER_SCREENSHOTS") else { return };
        self.browser.run("document.activeElement.blur()");
        std::fs::write(std::path::Path::new(&dir).join(name), self.browser.picture()).unwrap();
    }
}

/// The usual scene, served.
fn scene(change: impl FnOnce(&mut Parts)) -> Scene {
    Scene::new(|p| {
        p.rest = SERVING.into();
        change(p);
    })
}

/// Checks that a small host could have, all of them healthy.
fn healthy_checks(p: &mut Parts) {
    p.checks = [("backup", "OK - last backup 3 h ago | age=3h"), ("queue", "OK - 12 jobs | jobs=12;100;500")]
        .map(|(name, said)| format!("[checks.command.{name}]\ncommand = [\"/bin/echo\", \"{said}\"]\n"))
        .concat();
}

#[test]
fn all_is_well_in_under_80_kilobytes_that_come_from_here_alone() {
    let api = HttpServer::ok();
    let scene = scene(|p| {
        healthy_checks(p);
        p.checks += &format!("[checks.http.api]\nurl = \"{}\"\n", api.url("/health"));
        p.checks += &format!("[checks.tcp.smtp]\naddress = \"127.0.0.1:{}\"\n", api.port());
    });
    scene.heal().expect_code(0);
    let worker = scene.mendable_worker().after(20);
    scene.heal().expect_code(0);
    drop(worker);
    (0..3).for_each(|_| drop(scene.heal().expect_code(0)));
    let Some(page) = Page::of(&scene) else { return };
    page.prefers("light");
    page.until_verdict("All is well");
    assert_eq!(page.browser.text("document.title"), "All is well · healer");
    let sections = "[...document.querySelectorAll('main > section')].map(e => e.id).join()";
    assert_eq!(page.browser.text(sections), "verdict,checks,happened,trends", "what is empty is absent");
    let facts = page.shown("#verdict .facts");
    for fact in ["Last pass", "ago, took", "Next pass", "in 4:", "enabled: fixes are made"] {
        assert!(facts.contains(fact), "{fact}: {facts}");
    }
    let rows =
        page.browser.js("[...document.querySelectorAll('#checks .find')].map(e => e.innerText.replace(/\\s+/g, ' '))");
    let rows: Vec<&str> = rows.as_array().unwrap().iter().map(|row| row.as_str().unwrap()).collect();
    assert_eq!(rows.len(), 4, "{rows:?}");
    assert!(rows[2].contains("healthy queue command jobs 12 ") && rows[2].contains("12 jobs"), "{rows:?}");

    page.give_token(TOKEN);
    page.browser.until("document.querySelector('#clock').dataset.read === 'yes'");
    let parts = "performance.getEntriesByType('navigation').concat(performance.getEntriesByType('resource'))
        .filter(e => !/dashboard|events/.test(e.name)).map(e => [e.name, e.transferSize])";
    let parts = page.browser.js(parts);
    let sizes: Vec<u64> = parts.as_array().unwrap().iter().map(|part| part[1].as_u64().unwrap()).collect();
    assert!(sizes.len() == 3 && sizes.iter().all(|size| *size > 1_000), "page, script and style: {parts}");
    assert!(sizes.iter().sum::<u64>() < 80_000, "{parts}");
    let requests = page.browser.requests();
    assert!(requests.len() > 3, "{requests:?}");
    for to in requests.iter().filter(|to| !to.starts_with("data:image/svg+xml")) {
        assert!(to.starts_with(&page.address()), "{to}");
    }
    assert_eq!(page.browser.console(), [""; 0]);
    page.screen(1280, 860);
    page.picture("healthy.png");
}

#[test]
fn no_pass_for_two_intervals_is_critical_and_said_in_words() {
    let scene = scene(|p| p.top = "check_interval = \"1s\"".into());
    scene.heal().expect_code(0);
    let Some(page) = Page::of(&scene) else { return };
    page.until_verdict("No pass for ");
    let said = page.shown("#verdict");
    assert!(said.contains("seconds: is the timer running?") && said.contains("overdue"), "{said}");
    assert_eq!(page.browser.js("document.querySelector('#verdict').classList.contains('bad')"), true);
    assert_eq!(
        page.browser.text("document.querySelector('#verdict .m').textContent"),
        "■",
        "a shape beside the colour"
    );
}

#[test]
fn without_javascript_the_state_is_there_as_tables() {
    let scene = scene(healthy_checks);
    scene.heal().expect_code(0);
    scene.log_errors(20);
    scene.heal();
    let Some(page) = Page::of(&scene) else { return };
    page.browser.cdp("Emulation.setScriptExecutionDisabled", json!({ "value": true }));
    page.browser.reload();
    let shown = page.shown("body");
    for text in [
        "Without JavaScript this page does not update by itself",
        "Last pass",
        "Mode",
        "STATUS\tNAME",
        "healthy\tqueue",
        "12 jobs",
        "What happened",
        "was rate limited 20 times",
        "Trends",
    ] {
        assert!(shown.to_lowercase().contains(&text.to_lowercase()), "{text}:\n{shown}");
    }
    let visible = "[...document.querySelectorAll('button, input')].filter(e => e.checkVisibility()).length";
    assert_eq!(page.browser.js(visible), 0, "no button that would do nothing");
    assert_eq!(page.browser.js("document.querySelectorAll('table.checks tbody .find').length"), 2);
}

//! The page keeps itself true: over a server that is gone, and what it was told to filter over a reload.

use super::{Page, scene};
use crate::support::{Server, TOKEN, healer};

#[test]
fn a_server_that_is_gone_is_said_in_words_and_found_again() {
    let scene = scene(|_| {});
    scene.heal().expect_code(0);
    let Some(page) = Page::of(&scene) else { return };
    // From now on every stream is written down: where it begins, once the server has answered.
    page.browser.run(
        "const ask = window.fetch;
         window.streams = [];
         window.fetch = (path, options) => ask(path, options).then(answer => {
             if (path.endsWith('/events') && answer.ok) streams.push(options.headers['Last-Event-ID'] || 'now');
             return answer;
         });",
    );
    page.give_token(TOKEN);
    let Page { browser, server } = page;
    browser.until("streams.join() === 'now'");
    // Told by the stream at once, where asking alone takes ten seconds; it gives a place to resume at.
    healer(&scene.root, &["pause", "1h", "--reason", "before"]).expect_code(0);
    browser.until("document.querySelector('#verdict').innerText.includes('before')");
    let address = server.address.to_string();
    server.kill();
    browser.until(
        "document.querySelector('#line').textContent.startsWith('The server is offline: it cannot be reached.')",
    );
    let said = browser.text("document.querySelector('#line').innerText");
    assert!(said.contains("What you see may be old; trying again"), "{said}");
    assert!(
        browser.text("document.querySelector('#verdict').innerText").contains("before"),
        "what was known is still there"
    );

    healer(&scene.root, &["resume"]).expect_code(0);
    let _server = Server::start_on(&scene.root, &address, &["--enable-actions"]);
    browser.until("document.querySelector('#line').className === ''");
    browser.until("document.querySelector('#verdict').innerText.includes('enabled: fixes are made')");
    browser.until("streams.length === 2 && /^[0-9a-f]{8}-\\d+$/.test(streams[1])");
    healer(&scene.root, &["pause", "1h", "--reason", "after"]).expect_code(0);
    browser.until("document.querySelector('#verdict').innerText.includes('after')");
}

#[test]
fn filter_and_search_are_remembered_over_a_reload() {
    let scene = scene(|p| {
        p.checks = ["good_one:0", "good_two:0", "bad_one:2", "bad_two:2"]
            .map(|check| {
                let (name, code) = check.split_once(':').unwrap();
                format!("[checks.command.{name}]\ncommand = [\"/bin/sh\", \"-c\", \"echo said; exit {code}\"]\n")
            })
            .concat();
    });
    scene.heal().expect_code(10);
    let Some(page) = Page::of(&scene) else { return };
    let names = "[...document.querySelectorAll('#checks .find')].filter(e => e.checkVisibility())
        .map(e => e.querySelector('th').innerText.split(' ')[0]).join()";
    let shows = |expected: &str| page.browser.until(&format!("{names} === '{expected}'"));
    shows("bad_one,bad_two,good_one,good_two");
    page.browser.click("#failing");
    shows("bad_one,bad_two");
    page.browser.click("#search");
    page.browser.press("one");
    shows("bad_one");
    page.browser.reload();
    shows("bad_one");
    assert_eq!(page.browser.text("document.querySelector('#search').value"), "one");
    page.browser.click("#failing");
    shows("bad_one,good_one");
    page.browser.run("document.querySelector('#search').select()");
    page.browser.press("nothing is called so");
    shows("");
    page.until_says("#checks", "Nothing here matches the filter.");
}

// Drives the console in Chromium, as a person would. Run by browser_test.go;
// says "ok" or "not ok" for each step, and ends with 1 if any was not.
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { chromium } from "playwright-core";

const { SPARE_CONSOLE: base, SPARE_TOKEN: token, SPARE_CONTROL: control, SPARE_CHROMIUM: executablePath, SPARE_SHOTS: shots } = process.env;
const args = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const laptop = { width: 1280, height: 800 };
const phone = { width: 390, height: 844 };
const patience = 20_000;

let failed = 0;
const complaints = [];

async function step(name, f) {
  try {
    await f();
    console.log(`ok ${name}`);
  } catch (e) {
    failed++;
    console.log(`not ok ${name}: ${String(e.stack ?? e).replaceAll("\n", " | ")}`);
  }
}

// watch notes everything that a browser complains of: errors of scripts, files
// that did not come, violations of the content security policy.
function watch(page) {
  page.setDefaultTimeout(patience);
  page.on("console", (m) => ["error", "warning"].includes(m.type()) && !expected(m.text()) && complaints.push(`${page.url()}: ${m.text()}`));
  page.on("pageerror", (e) => complaints.push(`${page.url()}: ${e}`));
  page.on("requestfailed", (r) => !r.url().endsWith("/live") && !/ERR_ABORTED/.test(r.failure()?.errorText) && complaints.push(`${r.url()}: ${r.failure()?.errorText}`));
  return page;
}

// A page that is asked for and is an error is told of by the browser too.
const expected = (text) => /status of (403|404|409|429)/.test(text);

async function post(path) {
  const res = await fetch(control + path, { method: "POST" });
  assert.equal(res.status, 200, await res.text());
}

async function shoot(browser, when, pages, storageState) {
  if (!shots) return;
  mkdirSync(shots, { recursive: true });
  for (const [device, viewport] of Object.entries({ laptop, phone })) {
    for (const colorScheme of ["light", "dark"]) {
      const context = await browser.newContext({ viewport, colorScheme, storageState });
      for (const [name, path] of Object.entries(pages)) {
        const page = watch(await context.newPage());
        await page.goto(base + path);
        await page.waitForTimeout(300);
        await page.screenshot({ path: join(shots, `${when}-${name}-${device}-${colorScheme}.png`), fullPage: true });
        await page.close();
      }
      await context.close();
    }
  }
}

const text = (page, selector) => page.locator(selector).innerText();
const has = (page, selector, re) =>
  page.waitForFunction(([s, source]) => new RegExp(source).test(document.querySelector(s)?.innerText ?? ""), [selector, re.source], { timeout: patience });

// wide fails if a page has to be scrolled sideways.
async function fits(page) {
  const [inner, outer] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
  assert.ok(inner <= outer, `${page.url()} is ${inner} wide in ${outer}`);
}

const browser = await chromium.launch({ executablePath, args, headless: true });
const context = await browser.newContext({ viewport: laptop });
const page = watch(await context.newPage());

await step("every page loads, and fits a laptop and a phone", async () => {
  for (const path of ["/", "/services", "/services/shop", "/incidents", "/journal", "/journal/1", "/login", "/keys", "/services?q=none", "/journal?q=%3Cscript%3E"]) {
    for (const size of [laptop, phone]) {
      await page.setViewportSize(size);
      const res = await page.goto(base + path);
      assert.equal(res.status(), 200, path);
      assert.match(res.headers()["content-security-policy"], /default-src 'none'/);
      await fits(page);
    }
  }
  await page.setViewportSize(laptop);
});

await step("all is well before the outage", async () => {
  await page.goto(base + "/");
  await has(page, "#liveness", /^Live$/);
  await has(page, "#summary", /4 up/);
  assert.match(await text(page, "#incidents"), /No incident is open/);
  await has(page, "#map", /\d+\s*\/s · 100 %/);
  assert.equal(await page.locator("#map thead th.provider").allInnerTexts().then((l) => l.join(" ")), "alder birch self");
});
await page.waitForTimeout(shots ? 15_000 : 0);
await shoot(browser, "1-before", { overview: "/", service: "/services/shop", services: "/services", incidents: "/incidents" });

await step("keys go, search and tell", async () => {
  await page.goto(base + "/");
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.className), "skip");
  const box = await page.locator(".skip").boundingBox();
  assert.ok(box.y >= 0, "the skip link is not seen when it has the focus");
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement.id), "main");
  for (const [key, path] of [["s", "/services"], ["i", "/incidents"], ["j", "/journal"], ["o", "/"]]) {
    await page.keyboard.press("g");
    await page.keyboard.press(key);
    await page.waitForURL(base + path);
    await page.waitForLoadState();
  }
  await page.keyboard.press("/");
  await page.keyboard.type("g?s/");
  assert.equal(await page.evaluate(() => document.activeElement.value), "g?s/");
  await page.keyboard.press("Escape");
  await page.keyboard.press("?");
  assert.ok(await page.locator("dialog#keys").isVisible());
  await page.keyboard.press("Escape");
  assert.ok(!(await page.locator("dialog#keys").isVisible()));
});

await step("everything that the Tab key reaches shows that it has the focus", async () => {
  await page.goto(base + "/services/shop");
  for (let i = 0; i < 25; i++) {
    await page.keyboard.press("Tab");
    if (await page.evaluate(() => document.activeElement === document.body)) continue; // once around
    const [what, outline] = await page.evaluate(() => [document.activeElement.outerHTML.slice(0, 80), getComputedStyle(document.activeElement).outlineStyle]);
    assert.notEqual(outline, "none", what);
  }
});

await step("an action leads to the login, and a wrong token leads nowhere", async () => {
  await page.goto(base + "/services/shop");
  await page.getByRole("link", { name: "Freeze…" }).click();
  assert.match(page.url(), /\/login\?next=/);
  await page.getByLabel("Token").fill("wrong");
  await page.getByRole("button", { name: "Log in" }).click();
  await has(page, "main", /That is not the token/);
  assert.equal((await context.cookies()).length, 0);
});

await step("login, preview and drain, with its reason in the journal", async () => {
  await page.getByLabel("Your name").fill("ana <b>");
  await page.getByLabel("Token").fill(token);
  await page.getByRole("button", { name: "Log in" }).click();
  await page.waitForURL(/\/services\/shop\/freeze/);
  const [cookie] = await context.cookies();
  assert.ok(cookie.httpOnly && cookie.sameSite === "Strict", JSON.stringify(cookie));
  await page.goto(base + "/services/shop");
  await page.locator("#origins tr", { hasText: "virginia" }).getByRole("link", { name: "Drain…" }).click();
  await has(page, ".steps", /gets no new requests for 1h0m0s/);
  await page.getByLabel("It ends by itself after").selectOption("30m");
  await page.getByRole("button", { name: "Show the steps again" }).click();
  await has(page, ".steps", /gets no new requests for 30m0s/);
  await shoot(browser, "2-drain", { confirm: "/services/shop/drain?site=virginia" }, await context.storageState());
  await page.getByLabel("Reason").fill("disk <script>alert(1)</script>");
  await page.getByRole("button", { name: "Drain shop at virginia" }).click();
  await page.waitForURL(base + "/services/shop");
  await has(page, ".banner.done", /Drain shop virginia: done/);
  await has(page, "#overrides", /drain virginia until .* by console:ana <b>\s+disk <script>alert\(1\)<\/script>/);
  await has(page, "#state", /active at belgium/);
  await has(page, "#log", /by console:ana <b>/);
});

await step("nothing is done when things changed after the preview", async () => {
  const other = watch(await context.newPage());
  await other.goto(base + "/services/shop/undrain?site=virginia");
  await page.goto(base + "/services/shop/undrain?site=virginia");
  await page.getByRole("button", { name: "Undrain shop at virginia" }).click();
  await page.waitForURL(base + "/services/shop");
  await has(page, "#overrides", /None: verdicts decide/);
  await other.getByRole("button", { name: "Undrain shop at virginia" }).click();
  await has(other, "main", /there is no drain of shop to end/);
  await other.close();
  await has(page, "#state", /active at virginia/);
});

await step("a folded-out table and the focus stay through live updates", async () => {
  await page.goto(base + "/services/shop");
  await has(page, "#liveness", /^Live$/);
  await page.locator("#numbers summary").click();
  await page.evaluate(() => document.querySelector("#origins .button").focus());
  const before = await text(page, "#traffic");
  await page.waitForFunction((was) => document.querySelector("#traffic").innerText !== was, before);
  assert.ok(await page.locator("#numbers").evaluate((d) => d.open));
  assert.ok(await page.evaluate(() => document.activeElement.matches("#origins .button")));
});

let incident;
await step("a killed site shows within seconds, without a reload", async () => {
  await page.goto(base + "/");
  await has(page, "#liveness", /^Live$/);
  await page.evaluate(() => (window.same = true));
  await post("/kill?site=virginia");
  const began = Date.now();
  await has(page, "#map", /Down/);
  console.log(`# the map showed it after ${Date.now() - began} ms`);
  await has(page, "#incidents", /virginia/);
  await has(page, "#latest", /verdict[\s\S]*down/);
  await page.waitForFunction(() => /^\(\d+\)/.test(document.title));
  assert.ok(await page.evaluate(() => window.same), "the page was loaded again");
  await page.setViewportSize(phone);
  await fits(page);
  await page.setViewportSize(laptop);
  incident = await page.locator("#incidents a.incident").first().getAttribute("href");
});
if (!incident) process.exit(1);
await page.waitForTimeout(shots ? 4_000 : 500);
await shoot(browser, "3-during", { overview: "/", service: "/services/shop", incident, journal: "/journal", services: "/services?show=unwell" });

await step("draining the last healthy origin is refused, unless forced", async () => {
  await page.goto(base + "/services/shop/drain?site=belgium");
  await has(page, ".banner.bad", /Not like this/);
  assert.equal(await page.locator("form[method=post] button.primary").count(), 0);
  await page.getByLabel("Force it").check();
  await page.getByRole("button", { name: "Show the steps again" }).click();
  await page.getByRole("button", { name: "Drain shop at belgium" }).waitFor();
  await shoot(browser, "3-during", { forced: "/services/shop/drain?site=belgium&for=1h" }, await context.storageState());
});

await step("the incident tells what happened, and each line leads to its entry", async () => {
  await page.goto(base + incident);
  await has(page, "#milestones", /Opened[\s\S]*Detected/);
  await has(page, "#timeline", /observed/);
  await page.locator("#timeline a.when").first().click();
  await page.waitForURL(/\/journal\/\d+$/);
  await has(page, "main", /Happened/);
  await page.goto(base + incident);
  await page.getByRole("link", { name: "Report" }).click();
  await page.waitForURL(base + incident + "/report");
  await page.locator("td.n a").first().click();
  await page.waitForURL(/\/journal\/\d+$/);
});

await step("it is over when the site is back, and closes by itself", async () => {
  await page.goto(base + incident);
  await has(page, "#liveness", /^Live$/);
  await post("/revive?site=virginia");
  await has(page, "#head", /Monitoring|Closed/);
  await page.waitForFunction(() => /Closed/.test(document.querySelector("#head").innerText), null, { timeout: 60_000 });
});
await shoot(browser, "4-after", { overview: "/", service: "/services/shop", incident, report: incident + "/report", incidents: "/incidents", journal: "/journal?kind=switch", entry: "/journal/1", login: "/login", missing: "/nowhere" });

await step("pages work without JavaScript", async () => {
  const plain = await browser.newContext({ viewport: phone, javaScriptEnabled: false, storageState: await context.storageState() });
  const p = watch(await plain.newPage());
  await p.goto(base + "/services/admin/freeze");
  await p.getByRole("button", { name: "Freeze admin" }).click();
  await p.waitForURL(base + "/services/admin");
  assert.match(await text(p, "#overrides"), /freeze until/);
  await p.goto(base + "/services/admin/unfreeze");
  await p.getByRole("button", { name: "Unfreeze admin" }).click();
  await p.goto(base + "/journal?kind=operator");
  assert.match(await text(p, "#found"), /admin/);
  await plain.close();
});

await step("the journal is searched by its form", async () => {
  await page.goto(base + "/journal");
  await page.getByLabel("Text").fill("virginia");
  await page.getByLabel("Kind").selectOption("verdict");
  await page.getByLabel("Service").fill("shop");
  await page.getByRole("button", { name: "Search" }).click();
  await has(page, "#found", /shop@?.*virginia/);
  const lines = await page.locator("#found li").allInnerTexts();
  assert.ok(lines.length > 0 && lines.every((l) => /verdict/.test(l)), lines.join(" | "));
});

await step("logged out is logged out", async () => {
  await page.goto(base + "/");
  await page.getByRole("button", { name: "Log out" }).click();
  await page.waitForURL(base + "/");
  await page.goto(base + "/services/shop/freeze");
  assert.match(page.url(), /\/login/);
});

await step("the browser complained of nothing", async () => assert.deepEqual(complaints, []));

await browser.close();
process.exit(failed ? 1 : 0);

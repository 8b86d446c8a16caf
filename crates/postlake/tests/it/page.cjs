// Opens the page in Chromium and prints what it shows, as JSON.
// Arguments: the browser, the page's URL, a folder for pictures.
const { chromium } = require("playwright-core");

const [executablePath, url, folder] = process.argv.slice(2);
// What the machines of tests may take, as in postlake-testkit.
const PATIENCE_MS = 90000;
const VIEWS = [
  { name: "wide", width: 1280, height: 900, javaScriptEnabled: true },
  { name: "narrow", width: 360, height: 740, javaScriptEnabled: true },
  { name: "without-scripts", width: 1280, height: 900, javaScriptEnabled: false },
];

async function look(browser, { name, width, height, javaScriptEnabled }) {
  const context = await browser.newContext({ viewport: { width, height }, javaScriptEnabled });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  const complaints = [];
  const requests = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("requestfailed", (request) => complaints.push(`failed: ${request.url()}`));
  page.on("request", (request) => requests.push(request.url()));
  page.on("response", (response) => {
    if (response.status() >= 400) complaints.push(`${response.status()}: ${response.url()}`);
  });
  const answer = await page.goto(url, { waitUntil: "load" });
  const attributes = (selector, names) =>
    page.locator(selector).evaluateAll(
      (elements, wanted) => elements.map((element) => wanted.map((each) => element.getAttribute(each))),
      names,
    );
  const seen = {
    status: answer.status(),
    title: await page.title(),
    counts: Object.fromEntries(await attributes("[data-count]", ["data-count", "data-value"])),
    subjects: (await attributes("#scores [data-subaccount]", ["data-subaccount"])).flat(),
    scores: (await page.locator("#scores .score").allInnerTexts()).map(Number),
    balanced: (await attributes("#books", ["data-balanced"])).flat()[0],
    visible: await page.locator("h1").isVisible(),
    scroll_width: await page.evaluate("document.documentElement.scrollWidth"),
    width,
    complaints,
    requests,
  };
  await page.screenshot({ path: `${folder}/${name}.png`, fullPage: true });
  await context.close();
  return seen;
}

async function main() {
  const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"], timeout: PATIENCE_MS });
  const views = {};
  try {
    for (const view of VIEWS) views[view.name] = await look(browser, view);
  } finally {
    // A browser that is left open would keep this program from ending.
    await browser.close();
  }
  process.stdout.write(JSON.stringify(views));
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});

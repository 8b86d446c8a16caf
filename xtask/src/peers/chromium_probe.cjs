// Renders a page that needs no network and saves a picture. Arguments: browser, picture.
const { chromium } = require("playwright-core");

const [browserPath, picture] = process.argv.slice(1);
const QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync"];

(async () => {
  const browser = await chromium.launch({ executablePath: browserPath, args: QUIET, timeout: 120000 });
  try {
    const page = await browser.newPage();
    await page.setContent("<title>postlake</title><h1>it renders</h1>");
    if ((await page.title()) !== "postlake") throw new Error("the page has another title");
    await page.screenshot({ path: picture });
  } finally {
    await browser.close();
  }
})().catch((error) => {
  console.error(error.message);
  process.exit(1);
});

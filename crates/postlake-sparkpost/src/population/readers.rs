//! Recipients: their names, mailbox providers, devices and places.

/// A mailbox provider and the reserved domain that stands for it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Provider {
    pub(crate) name: &'static str,
    pub(crate) region: &'static str,
    pub(crate) domain: &'static str,
    pub(crate) host: &'static str,
    pub(crate) weight: u32,
}

#[rustfmt::skip]
pub(crate) static PROVIDERS: [Provider; 9] = [
    Provider { name: "Gmail", region: "Global", domain: "gmail.example.com", host: "mx1.gmail.example.com", weight: 38 },
    Provider { name: "Yahoo", region: "Global", domain: "yahoo.example.net", host: "mta7.yahoo.example.net", weight: 15 },
    Provider { name: "Hotmail / Outlook", region: "Global", domain: "outlook.example.org", host: "mx-in.outlook.example.org", weight: 17 },
    Provider { name: "Apple", region: "Global", domain: "icloud.example.com", host: "mx02.icloud.example.com", weight: 8 },
    Provider { name: "Gsuite", region: "Global", domain: "example.com", host: "aspmx.example.com", weight: 7 },
    Provider { name: "Office 365", region: "Global", domain: "example.org", host: "example-org.mail.example.org", weight: 6 },
    Provider { name: "GMX", region: "Europe - DE", domain: "gmx.example.net", host: "mx00.gmx.example.net", weight: 4 },
    Provider { name: "Orange", region: "Europe - FR", domain: "orange.example.net", host: "smtp-in.orange.example.net", weight: 3 },
    Provider { name: "Comcast", region: "North America", domain: "comcast.example.net", host: "mx1h1.comcast.example.net", weight: 2 },
];

/// A program that opens mail, as SparkPost reports it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Client {
    pub(crate) user_agent: &'static str,
    pub(crate) agent_family: &'static str,
    pub(crate) device_brand: &'static str,
    pub(crate) device_family: &'static str,
    pub(crate) os_family: &'static str,
    pub(crate) os_version: &'static str,
    pub(crate) mobile: bool,
    pub(crate) proxy: bool,
    pub(crate) prefetched: bool,
}

#[rustfmt::skip]
pub(crate) static CLIENTS: [Client; 8] = [
    Client { user_agent: "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)", agent_family: "GmailImageProxy", device_brand: "", device_family: "Other", os_family: "Windows", os_version: "XP", mobile: false, proxy: true, prefetched: false },
    Client { user_agent: "Mozilla/5.0", agent_family: "Apple Mail Privacy", device_brand: "Apple", device_family: "Other", os_family: "Other", os_version: "", mobile: false, proxy: true, prefetched: true },
    Client { user_agent: "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148", agent_family: "Mobile Safari UI/WKWebView", device_brand: "Apple", device_family: "iPhone", os_family: "iOS", os_version: "17.5", mobile: true, proxy: false, prefetched: false },
    Client { user_agent: "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Mobile Safari/537.36", agent_family: "Chrome Mobile", device_brand: "Google", device_family: "Pixel 8", os_family: "Android", os_version: "14", mobile: true, proxy: false, prefetched: false },
    Client { user_agent: "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko)", agent_family: "Apple Mail", device_brand: "Apple", device_family: "Mac", os_family: "Mac OS X", os_version: "10.15.7", mobile: false, proxy: false, prefetched: false },
    Client { user_agent: "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36", agent_family: "Chrome", device_brand: "", device_family: "Other", os_family: "Windows", os_version: "10", mobile: false, proxy: false, prefetched: false },
    Client { user_agent: "Mozilla/4.0 (compatible; ms-office; MSOffice 16)", agent_family: "Outlook", device_brand: "", device_family: "Other", os_family: "Windows", os_version: "10", mobile: false, proxy: false, prefetched: false },
    Client { user_agent: "YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html", agent_family: "YahooMailProxy", device_brand: "", device_family: "Other", os_family: "Other", os_version: "", mobile: false, proxy: true, prefetched: false },
];

/// A place as the address of a client is resolved to; degrees are in ten-thousandths.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) country: &'static str,
    pub(crate) region: &'static str,
    pub(crate) city: &'static str,
    pub(crate) latitude: i64,
    pub(crate) longitude: i64,
    pub(crate) zip: u32,
    pub(crate) postal_code: &'static str,
}

/// The last one is what SparkPost sends when it knows nothing: empty texts and a zip of zero.
#[rustfmt::skip]
pub(crate) static PLACES: [Place; 12] = [
    Place { country: "US", region: "NY", city: "New York", latitude: 407_128, longitude: -740_060, zip: 10_001, postal_code: "10001" },
    Place { country: "US", region: "CA", city: "San Francisco", latitude: 377_749, longitude: -1_224_194, zip: 94_103, postal_code: "94103" },
    Place { country: "US", region: "MA", city: "Boston", latitude: 423_601, longitude: -710_589, zip: 2_108, postal_code: "02108" },
    Place { country: "GB", region: "ENG", city: "London", latitude: 515_074, longitude: -1_278, zip: 0, postal_code: "EC1A" },
    Place { country: "DE", region: "BY", city: "M\u{fc}nchen", latitude: 481_351, longitude: 115_820, zip: 80_331, postal_code: "80331" },
    Place { country: "FR", region: "IDF", city: "Paris", latitude: 488_566, longitude: 23_522, zip: 75_001, postal_code: "75001" },
    Place { country: "BR", region: "SP", city: "S\u{e3}o Paulo", latitude: -235_505, longitude: -466_333, zip: 1_000, postal_code: "01000" },
    Place { country: "JP", region: "13", city: "Tokyo", latitude: 356_762, longitude: 1_396_503, zip: 1_000_001, postal_code: "100-0001" },
    Place { country: "AU", region: "NSW", city: "Sydney", latitude: -338_688, longitude: 1_512_093, zip: 2_000, postal_code: "2000" },
    Place { country: "DK", region: "84", city: "K\u{f8}benhavn", latitude: 556_761, longitude: 125_683, zip: 1_050, postal_code: "1050" },
    Place { country: "NL", region: "NH", city: "Amsterdam", latitude: 523_676, longitude: 49_041, zip: 0, postal_code: "1012" },
    Place { country: "", region: "", city: "", latitude: 0, longitude: 0, zip: 0, postal_code: "" },
];

pub(crate) static FIRST_NAMES: [&str; 32] = [
    "Ada", "Amir", "Anna", "Bea", "Carlos", "Chen", "Dana", "Elif", "Emil", "Fatima", "Felix",
    "Grace", "Hana", "Hugo", "Ines", "Ivan", "Jonas", "Jun", "Karin", "Lars", "Lucia", "Maria",
    "Mei", "Noah", "Olga", "Paul", "Priya", "Rosa", "Sam", "Tariq", "Vera", "Yusuf",
];

pub(crate) static LAST_NAMES: [&str; 32] = [
    "Abe", "Andersen", "Baker", "Berg", "Castro", "Costa", "Dubois", "Evans", "Fischer", "Garcia",
    "Haas", "Hansen", "Ito", "Jansen", "Kaya", "Keller", "Khan", "Kim", "Lopez", "Martin", "Meyer",
    "Novak", "Okafor", "Olsen", "Patel", "Rossi", "Sato", "Silva", "Smith", "Tanaka", "Weber",
    "Wong",
];

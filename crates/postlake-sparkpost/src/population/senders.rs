//! The account, its subaccounts and their campaigns.

/// What becomes of a subaccount's mail, in parts of a thousand.
#[derive(Debug, Clone, Copy)]
pub struct Quality {
    /// Messages to addresses that do not exist.
    pub hard: u32,
    /// Messages blocked as spam or by reputation.
    pub block: u32,
    /// Messages refused for now.
    pub delay: u32,
    /// Delivered messages that are opened.
    pub open: u32,
    /// Opened messages with a click.
    pub click: u32,
    /// Engaged recipients who unsubscribe.
    pub unsubscribe: u32,
    /// Delivered messages marked as spam.
    pub complaint: u32,
}

/// One sender of the account.
#[derive(Debug, Clone, Copy)]
pub struct Subaccount {
    /// SparkPost's number; 0 is the primary account, whose events carry no `subaccount_id`.
    pub id: u32,
    /// The sender's name.
    pub name: &'static str,
    /// The domain it sends from.
    pub domain: &'static str,
    /// The pool of addresses it sends from.
    pub ip_pool: &'static str,
    /// Its share of the traffic.
    pub weight: u32,
    /// The Health Score (0 to 100) it moves around.
    pub score: u32,
    /// What becomes of its mail.
    pub quality: Quality,
}

/// The subaccount of the bounce storm, whose score falls from good to bad.
pub const STORM_SUBACCOUNT: u32 = 107;

const fn quality(rates: [u32; 7]) -> Quality {
    let [hard, block, delay, open, click, unsubscribe, complaint] = rates;
    Quality {
        hard,
        block,
        delay,
        open,
        click,
        unsubscribe,
        complaint,
    }
}

/// The primary account and nine subaccounts, 101 to 109.
#[rustfmt::skip]
pub static SUBACCOUNTS: [Subaccount; 10] = [
    //                                                                                                                                            hard block delay open click unsub complaint
    Subaccount { id: 0, name: "Harbour Street Group", domain: "harbourstreet.example.com", ip_pool: "shared", weight: 12, score: 91, quality: quality([6, 3, 20, 480, 260, 6, 1]) },
    Subaccount { id: 101, name: "Alder & Ash Garden Supply", domain: "alderash.example.com", ip_pool: "marketing-a", weight: 14, score: 86, quality: quality([9, 6, 25, 410, 190, 10, 2]) },
    Subaccount { id: 102, name: "Kite Island Travel", domain: "kiteisland.example.net", ip_pool: "marketing-a", weight: 11, score: 78, quality: quality([16, 12, 40, 330, 150, 14, 3]) },
    Subaccount { id: 103, name: "Quiet Oak Books", domain: "quietoak.example.org", ip_pool: "marketing-b", weight: 8, score: 94, quality: quality([4, 2, 15, 560, 310, 5, 1]) },
    Subaccount { id: 104, name: "Bluebell Pharmacy", domain: "bluebell.example.com", ip_pool: "transactional", weight: 10, score: 89, quality: quality([7, 3, 18, 620, 240, 3, 1]) },
    Subaccount { id: 105, name: "Tin Whistle Tickets", domain: "tinwhistle.example.net", ip_pool: "transactional", weight: 13, score: 83, quality: quality([10, 7, 30, 520, 330, 6, 2]) },
    Subaccount { id: 106, name: "Marrow & Moss Kitchens", domain: "marrowmoss.example.org", ip_pool: "marketing-b", weight: 9, score: 72, quality: quality([24, 18, 45, 270, 120, 16, 4]) },
    Subaccount { id: 107, name: "Red Kettle Deals", domain: "redkettle.example.com", ip_pool: "marketing-b", weight: 10, score: 87, quality: quality([14, 10, 35, 300, 140, 15, 4]) },
    Subaccount { id: 108, name: "Ninefold Fitness", domain: "ninefold.example.net", ip_pool: "marketing-a", weight: 7, score: 63, quality: quality([35, 30, 60, 210, 90, 22, 6]) },
    Subaccount { id: 109, name: "Pebble Post Newsletters", domain: "pebblepost.example.org", ip_pool: "shared", weight: 6, score: 49, quality: quality([60, 55, 80, 140, 60, 30, 11]) },
];

/// One mailing or kind of message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Campaign {
    pub(crate) id: &'static str,
    pub(crate) subject: &'static str,
    pub(crate) template_id: &'static str,
    pub(crate) template_version: u8,
    pub(crate) transactional: bool,
    pub(crate) ab_test_id: Option<&'static str>,
    pub(crate) tags: &'static [&'static str],
    pub(crate) link_name: &'static str,
    pub(crate) link_path: &'static str,
}

#[rustfmt::skip]
pub(crate) static CAMPAIGNS: [Campaign; 12] = [
    Campaign { id: "spring-catalogue-2026", subject: "Our spring catalogue is here, with 40 new things", template_id: "catalogue-spring", template_version: 4, transactional: false, ab_test_id: Some("spring-subject-line"), tags: &["catalogue", "spring", "EU"], link_name: "Shop now", link_path: "/spring?utm_source=email&utm_medium=newsletter&utm_campaign=spring-catalogue-2026" },
    Campaign { id: "weekly-digest", subject: "Five things we read this week", template_id: "digest-weekly", template_version: 12, transactional: false, ab_test_id: None, tags: &["digest"], link_name: "Read the first story", link_path: "/digest/2026/stories/1?utm_source=email&utm_medium=digest" },
    Campaign { id: "order-confirmation", subject: "We have your order, thank you", template_id: "order-confirmed", template_version: 7, transactional: true, ab_test_id: None, tags: &["order", "confirmation"], link_name: "View order", link_path: "/orders/view?ref=mail&step=confirmed" },
    Campaign { id: "password-reset", subject: "Choose a new password", template_id: "password-reset", template_version: 2, transactional: true, ab_test_id: None, tags: &[], link_name: "Reset password", link_path: "/account/reset?token=0c4f7a9e2b61&expires=3600" },
    Campaign { id: "flash-sale-48h", subject: "48 hours only: \"everything\" 30 % off", template_id: "flash-sale", template_version: 1, transactional: false, ab_test_id: Some("flash-button-colour"), tags: &["sale", "flash", "US"], link_name: "Claim 30 % off", link_path: "/sale/48h?code=SAVE30&utm_source=email&utm_medium=promo" },
    Campaign { id: "welcome-series-1", subject: "Welcome! Three minutes to get started", template_id: "welcome-1", template_version: 9, transactional: false, ab_test_id: None, tags: &["onboarding", "day-1"], link_name: "Get started", link_path: "/welcome/start?utm_source=email&utm_content=hero" },
    Campaign { id: "shipping-notice", subject: "Dein Paket ist unterwegs \u{1f4e6}", template_id: "shipping-notice-de", template_version: 3, transactional: true, ab_test_id: None, tags: &["shipping", "DE"], link_name: "Sendung verfolgen", link_path: "/track?parcel=JD014600003&lang=de" },
    Campaign { id: "abandoned-cart", subject: "You left something behind...", template_id: "cart-reminder", template_version: 5, transactional: false, ab_test_id: None, tags: &["cart", "reminder"], link_name: "Back to my cart", link_path: "/cart/restore?utm_source=email&utm_medium=trigger&utm_campaign=abandoned-cart" },
    Campaign { id: "noticias-mensuales", subject: "Las noticias de este mes: ¡ya están aquí!", template_id: "monthly-es", template_version: 1, transactional: false, ab_test_id: None, tags: &["monthly", "ES", "LATAM"], link_name: "Leer más", link_path: "/es/noticias?utm_source=email&utm_medium=newsletter" },
    Campaign { id: "event-reminder", subject: "Tomorrow, 19:00: doors open at 18:15", template_id: "event-reminder", template_version: 6, transactional: true, ab_test_id: None, tags: &["event", "reminder"], link_name: "Show my ticket", link_path: "/tickets/show?wallet=1&seat=auto" },
    Campaign { id: "win-back", subject: "It has been a while. Is this goodbye?", template_id: "win-back", template_version: 2, transactional: false, ab_test_id: Some("win-back-offer"), tags: &["win-back", "inactive-180d"], link_name: "Keep me subscribed", link_path: "/preferences/keep?utm_source=email&utm_medium=winback" },
    Campaign { id: "nyhedsbrev", subject: "Månedens nyhedsbrev: åbent, ærligt og gratis", template_id: "newsletter-da", template_version: 8, transactional: false, ab_test_id: None, tags: &["monthly", "DK"], link_name: "Læs mere", link_path: "/da/nyheder?utm_source=email&utm_medium=newsletter" },
];

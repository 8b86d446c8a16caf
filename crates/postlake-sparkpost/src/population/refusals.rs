//! What servers say when they refuse, with SparkPost's bounce class.
//!
//! `{ip}` stands for the sending address, `{rcpt}` for the recipient, `{host}` for the refusing server.

/// A refusal: SparkPost's bounce class, the SMTP code and the server's words.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Refusal {
    pub(crate) class: u16,
    pub(crate) code: u16,
    pub(crate) text: &'static str,
}

const fn refusal(class: u16, code: u16, text: &'static str) -> Refusal {
    Refusal { class, code, text }
}

/// The address or its domain does not exist, or SparkPost suppresses it (class 25).
pub(crate) static HARD: [Refusal; 8] = [
    refusal(
        10,
        550,
        "550 5.1.1 The email account that you tried to reach does not exist. Please check the recipient's address for typos or spaces. - gsmtp",
    ),
    refusal(
        10,
        550,
        "550 5.1.1 <{rcpt}>: Recipient address rejected: User unknown in virtual mailbox table",
    ),
    refusal(
        10,
        550,
        "550 5.5.0 Requested action not taken: mailbox unavailable [{host}]",
    ),
    refusal(
        10,
        554,
        "554 delivery error: dd This user doesn't have a {host} account ({rcpt}) [0]",
    ),
    refusal(
        10,
        551,
        "551 5.1.6 Recipient no longer on server: \"{rcpt}\"",
    ),
    refusal(
        30,
        550,
        "550-5.2.1 The mailbox is disabled.\r\n550 5.2.1 Contact your administrator, error {host}/7731",
    ),
    refusal(
        21,
        554,
        "554 5.4.4 [internal] Domain Lookup Failed, no MX and no A record",
    ),
    refusal(
        25,
        554,
        "554 5.7.1 [internal] Recipient address was suppressed due to customer policy",
    ),
];

/// Blocks by reputation, policy or content.
pub(crate) static BLOCK: [Refusal; 9] = [
    refusal(
        51,
        550,
        "550-5.7.1 [{ip}] Our system has detected an unusual rate of unsolicited mail\r\n550-5.7.1 originating from your IP address. To protect our users from spam, mail\r\n550 5.7.1 sent from your IP address has been blocked. - gsmtp",
    ),
    refusal(
        51,
        554,
        "554 5.7.1 Service unavailable; Client host [{ip}] blocked using bl.example.net; see https://bl.example.net/query/{ip}",
    ),
    refusal(
        50,
        550,
        "550 5.7.1 Unfortunately, messages from [{ip}] weren't sent. Please contact your Internet service provider since part of their network is on our block list (S3150). [{host}]",
    ),
    refusal(
        50,
        553,
        "553 5.7.1 [BL21] Connections will not be accepted from {ip}, because the ip is in the {host} list",
    ),
    refusal(
        52,
        554,
        "554 5.7.1 Message content rejected: it resembles messages reported as spam, score 14.2, required 7.0",
    ),
    refusal(
        52,
        552,
        "552-5.7.0 This message was blocked because its content presents a potential\r\n552 5.7.0 security issue.",
    ),
    refusal(
        50,
        550,
        "550 5.7.26 Unauthenticated mail is prohibited: the message did not pass SPF or DKIM with alignment, DMARC policy is reject",
    ),
    refusal(54, 550, "550 5.7.1 <{rcpt}>: Relay access denied"),
    refusal(
        53,
        552,
        "552 5.7.0 Attachment type \".exe\" is not allowed, message refused",
    ),
];

/// Temporary refusals.
pub(crate) static SOFT: [Refusal; 8] = [
    refusal(
        22,
        452,
        "452-4.2.2 The email account that you tried to reach is over quota. Please direct\r\n452 4.2.2 the recipient to free some space. - gsmtp",
    ),
    refusal(
        20,
        421,
        "421 4.7.0 [TSS04] Messages from {ip} temporarily deferred due to unexpected volume or user complaints",
    ),
    refusal(
        70,
        451,
        "451 4.7.1 Greylisting in action, please come back in 300 seconds",
    ),
    refusal(
        24,
        421,
        "421 4.4.1 [internal] connection to {host} timed out while waiting for the banner",
    ),
    refusal(
        21,
        451,
        "451 4.4.0 [internal] DNS query for the domain failed: SERVFAIL",
    ),
    refusal(
        40,
        450,
        "450 4.2.0 <{rcpt}>: Recipient address rejected: try again later",
    ),
    refusal(
        51,
        421,
        "421-4.7.28 [{ip}] Our system has detected an unusual rate of\r\n421 4.7.28 mail from your network, it has been temporarily rate limited",
    ),
    refusal(
        23,
        452,
        "452 4.3.4 Message size exceeds what is free right now",
    ),
];

/// Failures reported after the message was accepted.
pub(crate) static LATE: [Refusal; 4] = [
    refusal(
        10,
        550,
        "550 5.1.1 smtp; The address {rcpt} was not found at {host}, unable to deliver",
    ),
    refusal(
        22,
        552,
        "552 5.2.2 smtp; mailbox full, message was returned after 48 hours",
    ),
    refusal(
        60,
        550,
        "Automatic reply: I am out of the office until Monday, \"urgent\" matters to my colleagues",
    ),
    refusal(
        1,
        550,
        "smtp; 550 Undeliverable, the remote server gave no reason",
    ),
];

/// Refused by SparkPost itself before sending.
pub(crate) static POLICY: [Refusal; 3] = [
    refusal(
        25,
        550,
        "550 5.7.1 [internal] The sending domain of this message is not verified for this account",
    ),
    refusal(
        25,
        554,
        "554 5.7.1 [internal] Recipient {rcpt} is on the suppression list",
    ),
    refusal(25, 550, "550 5.1.3 [internal] Invalid recipient address"),
];

/// Errors while a message is generated from its template.
pub(crate) static GENERATION: [Refusal; 3] = [
    refusal(
        25,
        554,
        "554 5.3.0 [internal] substitution data is missing the required value \"order.id\"",
    ),
    refusal(
        25,
        554,
        "554 5.3.0 [internal] template error in line 14: unexpected end of block \"if\"",
    ),
    refusal(
        25,
        550,
        "550 5.7.1 [internal] Recipient {rcpt} is on the suppression list at generation",
    ),
];

/// Failures of inbound messages.
pub(crate) static RELAY: [Refusal; 3] = [
    refusal(25, 550, "550 5.7.1 relaying denied for {rcpt}"),
    refusal(70, 451, "451 4.4.2 webhook target answered 503, will retry"),
    refusal(
        30,
        554,
        "554 5.4.7 webhook target did not answer 200 within 8 hours, gave up",
    ),
];

/// Words of SMS centres.
pub(crate) static SMS: [Refusal; 2] = [
    refusal(1, 0, "Message delivered to handset"),
    refusal(1, 0, "Handset not reachable, operator will retry"),
];

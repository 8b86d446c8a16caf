//! What the tests share: servers on loopback, ledgers, temporary lakes.

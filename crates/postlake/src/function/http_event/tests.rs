use super::*;

const ALERTS: &str = include_str!("../../../../postlake-sparkpost/fixtures/alerts-shape-a.json");

fn read(event: &Value) -> (Door, Request) {
    request(event.to_string().as_bytes()).unwrap()
}

async fn body(request: Request) -> Vec<u8> {
    let body = axum::body::to_bytes(request.into_body(), usize::MAX).await;
    body.unwrap().to_vec()
}

fn peer(request: &Request) -> Option<String> {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>()?;
    Some(peer.0.ip().to_string())
}

fn text<'a>(request: &'a Request, name: &str) -> Vec<&'a str> {
    let values = request.headers().get_all(name).iter();
    values.map(|value| value.to_str().unwrap()).collect()
}

#[tokio::test]
async fn a_request_of_a_load_balancer() {
    let event = json!({
        "requestContext": { "elb": { "targetGroupArn": "arn:aws:..." } },
        "httpMethod": "POST",
        "path": "/webhooks/alerts/secret",
        "queryStringParameters": {},
        "headers": {
            "content-type": "application/json;charset=utf-8",
            "x-forwarded-for": "10.9.8.7, 54.188.124.157",
        },
        "body": "[{\"a\":\"\u{fc}\"}]",
        "isBase64Encoded": false,
    });
    let (door, request) = read(&event);
    assert_eq!(door, Door::LoadBalancer { lists: false });
    assert_eq!(request.method(), Method::POST);
    assert_eq!(request.uri().path(), "/webhooks/alerts/secret");
    assert_eq!(
        text(&request, "content-type"),
        ["application/json;charset=utf-8"]
    );
    // What the sender says of itself is the first, and is not believed.
    assert_eq!(peer(&request).unwrap(), "54.188.124.157");
    assert_eq!(body(request).await, "[{\"a\":\"\u{fc}\"}]".as_bytes());
}

#[tokio::test]
async fn lists_of_values_are_kept_and_answered() {
    let event = json!({
        "requestContext": { "elb": {} },
        "httpMethod": "POST",
        "path": "/webhooks/events",
        "multiValueHeaders": { "accept": ["a", "b"], "x-forwarded-for": ["1.2.3.4:555"], "x": null },
        "body": "AAEC/w==",
        "isBase64Encoded": true,
    });
    let (door, request) = read(&event);
    assert_eq!(text(&request, "accept"), ["a", "b"]);
    assert_eq!(peer(&request).unwrap(), "1.2.3.4");
    assert_eq!(body(request).await, [0, 1, 2, 255]);
    let response = Response::builder()
        .header("www-authenticate", "Basic")
        .header("www-authenticate", "Bearer")
        .header("content-length", "2")
        .body(Body::from("{}"))
        .unwrap();
    let answer: Value = serde_json::from_slice(&answer(door, response).await.unwrap()).unwrap();
    let expected = json!({
        "statusCode": 200,
        "statusDescription": "200 OK",
        "isBase64Encoded": false,
        "multiValueHeaders": { "www-authenticate": ["Basic", "Bearer"] },
        "body": "{}",
    });
    assert_eq!(answer, expected);
}

#[tokio::test]
async fn absent_headers_and_bodies_are_empty() {
    for absent in [
        json!({}),
        json!({ "headers": null, "body": null, "isBase64Encoded": null }),
    ] {
        let mut event = json!({
            "requestContext": { "elb": {} }, "httpMethod": "GET", "path": "/livez",
        });
        for (key, value) in absent.as_object().unwrap() {
            event[key] = value.clone();
        }
        let (door, request) = read(&event);
        assert_eq!(door, Door::LoadBalancer { lists: false });
        assert!(request.headers().is_empty());
        assert_eq!(peer(&request), None);
        assert!(body(request).await.is_empty());
    }
}

#[tokio::test]
async fn a_request_of_an_api_in_its_first_form() {
    let event = json!({
        "resource": "/{proxy+}",
        "path": "/webhooks/events",
        "httpMethod": "POST",
        "headers": { "X-One": "b" },
        "multiValueHeaders": { "X-One": ["a", "b"] },
        "requestContext": { "stage": "prod", "identity": { "sourceIp": "9.8.7.6" } },
        "body": "[]",
        "isBase64Encoded": false,
    });
    let (door, request) = read(&event);
    assert_eq!(door, Door::RestApi);
    assert_eq!(text(&request, "x-one"), ["a", "b"]);
    assert_eq!(peer(&request).unwrap(), "9.8.7.6");
    let answer = answer(door, Response::new(Body::from("{}"))).await.unwrap();
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    assert!(answer.get("statusDescription").is_none() && answer.get("multiValueHeaders").is_some());
}

#[tokio::test]
async fn a_request_of_an_api_in_its_second_form_or_of_a_function_url() {
    for (stage, raw_path) in [
        ("$default", "/webhooks/events"),
        ("prod", "/prod/webhooks/events"),
        ("webhooks", "/webhooks/webhooks/events"),
    ] {
        let event = json!({
            "version": "2.0",
            "rawPath": raw_path,
            "rawQueryString": "",
            "headers": { "authorization": "Basic eDp5" },
            "requestContext": {
                "stage": stage,
                "http": { "method": "POST", "path": raw_path, "sourceIp": "2001:db8::1" },
            },
            "body": "W10=",
            "isBase64Encoded": true,
        });
        let (door, request) = read(&event);
        assert_eq!(door, Door::HttpApi);
        assert_eq!(request.uri().path(), "/webhooks/events", "{stage}");
        assert_eq!(text(&request, "authorization"), ["Basic eDp5"]);
        assert_eq!(peer(&request).unwrap(), "2001:db8::1");
        assert_eq!(body(request).await, b"[]");
    }
}

/// As a load balancer handed over the one delivery of alerts that was ever recorded, header by header.
#[tokio::test]
async fn a_delivery_of_alerts_is_read_to_its_last_byte() {
    let event = json!({
        "requestContext": { "elb": { "targetGroupArn": "arn:aws:elasticloadbalancing:..." } },
        "httpMethod": "POST",
        "path": "/",
        "queryStringParameters": {},
        "headers": {
            "accept": "application/json, text/plain, */*",
            "connection": "close",
            "content-length": ALERTS.len().to_string(),
            "content-type": "application/json;charset=utf-8",
            "host": "alerts.example.com",
            "user-agent": "axios/0.21.1",
            "x-amzn-trace-id": "Root=1-6059a761-65cdb56614cf888d28565aab",
            "x-forwarded-for": "54.188.124.157",
            "x-forwarded-port": "443",
            "x-forwarded-proto": "https",
        },
        "body": ALERTS,
        "isBase64Encoded": false,
    });
    let (door, request) = read(&event);
    assert_eq!(door, Door::LoadBalancer { lists: false });
    assert_eq!(text(&request, "user-agent"), ["axios/0.21.1"]);
    assert_eq!(body(request).await, ALERTS.as_bytes());
}

#[test]
fn what_is_no_request_is_said_to_be_none() {
    let cases = [
        (json!("x"), "the event is not the json of a request"),
        (
            json!({ "Records": [] }),
            "the event is not a request of a load balancer, an api gateway or a function url",
        ),
        (
            json!({ "requestContext": { "elb": {} }, "httpMethod": "POST", "path": "no path" }),
            "the event's method or path is none",
        ),
        (
            json!({
                "requestContext": { "elb": {} }, "httpMethod": "POST", "path": "/",
                "body": "###", "isBase64Encoded": true,
            }),
            "the event's body is not base64 as it says",
        ),
    ];
    for (event, expected) in cases {
        let error = request(event.to_string().as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
}

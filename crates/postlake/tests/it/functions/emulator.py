"""The line on an emulator of AWS. `setup SETTINGS` makes it and prints how to reach it, `table NAME` prints the
items of a table. SETTINGS is JSON: name, and role by role the command of the program and its environment."""

import io
import json
import sys
import zipfile

import boto3

REGION = "us-east-1"
ACCOUNT = "000000000000"


def client(service):
    return boto3.client(service)


def package(program):
    """A package whose program is started from where it lies."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as package:
        entry = zipfile.ZipInfo("bootstrap")
        entry.external_attr = 0o755 << 16
        command = " ".join(f"'{part}'" for part in program)
        package.writestr(entry, f"#!/bin/sh\nexec {command}\n")
    return content.getvalue()


def function(name, program, environment):
    made = client("lambda").create_function(
        FunctionName=name,
        Runtime="provided.al2023",
        Handler="bootstrap",
        Role=f"arn:aws:iam::{ACCOUNT}:role/any",
        Code={"ZipFile": package(program)},
        Timeout=60,
        MemorySize=512,
        Environment={"Variables": environment},
    )
    return made["FunctionArn"]


def balancer(name, function_arn):
    elb = client("elbv2")
    balancer = elb.create_load_balancer(Name=name, Type="application", Subnets=[])["LoadBalancers"][0]
    targets = elb.create_target_group(Name=f"{name}-t", TargetType="lambda")["TargetGroups"][0]
    group = targets["TargetGroupArn"]
    client("lambda").add_permission(
        FunctionName=function_arn, StatementId="elb", Action="lambda:InvokeFunction",
        Principal="elasticloadbalancing.amazonaws.com",
    )
    elb.register_targets(TargetGroupArn=group, Targets=[{"Id": function_arn}])
    elb.create_listener(
        LoadBalancerArn=balancer["LoadBalancerArn"], Protocol="HTTP", Port=80,
        DefaultActions=[{"Type": "forward", "TargetGroupArn": group}],
    )
    return f"/_alb/{name}"


def queue(name, bucket, function_name):
    sqs = client("sqs")
    url = sqs.create_queue(QueueName=name, Attributes={"VisibilityTimeout": "5"})["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    client("lambda").create_event_source_mapping(
        EventSourceArn=arn, FunctionName=function_name, BatchSize=10,
        FunctionResponseTypes=["ReportBatchItemFailures"],
    )
    rules = [{"Name": "prefix", "Value": "raw/"}, {"Name": "suffix", "Value": ".seg.zst"}]
    client("s3").put_bucket_notification_configuration(
        Bucket=bucket,
        NotificationConfiguration={"QueueConfigurations": [{
            "QueueArn": arn, "Events": ["s3:ObjectCreated:*"], "Filter": {"Key": {"FilterRules": rules}},
        }]},
    )


def setup(settings):
    name, programs, roles = settings["name"], settings["programs"], settings["roles"]
    arns = {role: function(f"{name}-{role}", programs[role], environment) for role, environment in roles.items()}
    queue(name, settings["bucket"], f"{name}-load")
    return {"alb": balancer(name, arns["receive"])}


def table(name):
    items, start = [], {}
    while True:
        page = client("dynamodb").scan(TableName=name, **start)
        items += page["Items"]
        if "LastEvaluatedKey" not in page:
            return sorted(items, key=lambda item: item["record_id"]["S"])
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}


def main():
    command, argument = sys.argv[1:3]
    if command == "bucket":
        client("s3").create_bucket(Bucket=argument)
        print("{}")
    elif command == "setup":
        print(json.dumps(setup(json.loads(argument))))
    else:
        print(json.dumps(table(argument)))


main()

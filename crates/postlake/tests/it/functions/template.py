"""The template of deploy/aws on an emulator of AWS. `deploy SETTINGS` deploys it and prints what came of it; SETTINGS is
JSON: template, programs by package, environment of every function, secrets. `ask SQL` asks its Athena."""

import io
import json
import sys
import time
import zipfile

import boto3
from botocore.exceptions import ClientError

STACK = "postlake"
CODE = "postlake-code"
BUCKET = "postlake-000000000000-us-east-1"
PATIENCE_SECS = 120


def client(service):
    return boto3.client(service)


def until(what, look):
    end = time.monotonic() + PATIENCE_SECS
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(0.2)
    raise SystemExit(f"waited in vain for {what}")


def status():
    try:
        return client("cloudformation").describe_stacks(StackName=STACK)["Stacks"][0]["StackStatus"]
    except ClientError:
        return "GONE"


def remove():
    """What an earlier run has left: the stack, and the bucket that outlives it."""
    if status() not in ("GONE", "DELETE_COMPLETE"):
        client("cloudformation").delete_stack(StackName=STACK)
        until("the end of the old stack", lambda: status() in ("GONE", "DELETE_COMPLETE"))
    try:
        bucket = boto3.resource("s3").Bucket(BUCKET)
        bucket.objects.all().delete()
        bucket.delete()
    except ClientError:
        pass


def put_package(name, program, environment):
    """A package whose program is started from where it lies, and told where AWS is."""
    exports = "".join(f"export {name}='{value}'\n" for name, value in environment.items())
    command = " ".join(f"'{part}'" for part in program)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as package:
        entry = zipfile.ZipInfo("bootstrap")
        entry.external_attr = 0o755 << 16
        package.writestr(entry, f"#!/bin/sh\n{exports}exec {command}\n")
    client("s3").put_object(Bucket=CODE, Key=name, Body=content.getvalue())


def network():
    ec2 = client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{number}.0/24")["Subnet"]["SubnetId"] for number in (1, 2)
    ]
    return vpc, ",".join(subnets)


def parameters(secrets):
    vpc, subnets = network()
    zone = client("route53").create_hosted_zone(Name="example.com", CallerReference=str(time.time()))
    return {
        "CodeBucket": CODE,
        "VpcId": vpc,
        "SubnetIds": subnets,
        "CertificateArn": "arn:aws:acm:us-east-1:000000000000:certificate/any",
        "HostedZoneId": zone["HostedZone"]["Id"].rsplit("/", 1)[-1],
        "DomainName": "hooks.example.com",
        **secrets,
    }


def dropped(table, function_arn):
    """Properties that the emulator leaves out without a word; the last one is put in by hand."""
    missing = []
    try:
        client("s3").get_bucket_lifecycle_configuration(Bucket=BUCKET)
    except ClientError:
        missing.append("lifecycle of the bucket")
    ttl = client("dynamodb").describe_time_to_live(TableName=table)["TimeToLiveDescription"]
    if ttl["TimeToLiveStatus"] != "ENABLED":
        missing.append("removal of expired items")
    elb = client("elbv2")
    for group in elb.describe_target_groups()["TargetGroups"]:
        health = elb.describe_target_health(TargetGroupArn=group["TargetGroupArn"])
        if "Receive" in function_arn and group["TargetGroupName"].startswith(STACK) and not health["TargetHealthDescriptions"]:
            missing.append("target of the load balancer")
            elb.register_targets(TargetGroupArn=group["TargetGroupArn"], Targets=[{"Id": function_arn}])
    return missing


def deploy(settings):
    remove()
    s3 = client("s3")
    s3.create_bucket(Bucket=CODE)
    for name, program in settings["programs"].items():
        put_package(name, program, settings["environment"])
    formation = client("cloudformation")
    with open(settings["template"], encoding="utf-8") as template:
        body = template.read()
    given = parameters(settings["secrets"])
    formation.create_stack(
        StackName=STACK,
        TemplateBody=body,
        Capabilities=["CAPABILITY_IAM"],
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in given.items()],
    )
    ended = until("the stack", lambda: status() if not status().endswith("IN_PROGRESS") else None)
    resources = formation.describe_stack_resources(StackName=STACK)["StackResources"]
    outputs = formation.describe_stacks(StackName=STACK)["Stacks"][0].get("Outputs", [])
    outputs = {output["OutputKey"]: output["OutputValue"] for output in outputs}
    by_name = {resource["LogicalResourceId"]: resource for resource in resources}
    function = by_name["Receive"]["PhysicalResourceId"]
    arn = client("lambda").get_function(FunctionName=function)["Configuration"]["FunctionArn"]
    balancer = by_name["Balancer"]["PhysicalResourceId"].split("/")[-2]
    return {
        "status": ended,
        "resources": {name: resource["ResourceStatus"] for name, resource in by_name.items()},
        "dropped": dropped(outputs["TableName"], arn),
        "outputs": outputs,
        "balancer": f"/_alb/{balancer}",
        "url": f"/_aws/lambda-url/{outputs['FunctionAddress'].split('//')[1].split('.')[0]}",
    }


def ask(sql):
    athena = client("athena")
    asked = athena.start_query_execution(QueryString=sql, WorkGroup="postlake")["QueryExecutionId"]

    def ended():
        state = athena.get_query_execution(QueryExecutionId=asked)["QueryExecution"]["Status"]
        return state if state["State"] not in ("QUEUED", "RUNNING") else None

    state = until("Athena", ended)
    if state["State"] != "SUCCEEDED":
        raise SystemExit(json.dumps(state, default=str))
    rows = athena.get_query_results(QueryExecutionId=asked)["ResultSet"]["Rows"]
    return [[field.get("VarCharValue") for field in row["Data"]] for row in rows[1:]]


def table(name):
    return client("dynamodb").scan(TableName=name)["Items"]


def main():
    command, argument = sys.argv[1:3]
    commands = {"deploy": lambda text: deploy(json.loads(text)), "ask": ask, "table": table}
    print(json.dumps(commands[command](argument)))


main()

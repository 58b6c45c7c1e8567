"""What an image is, and how one gets in and out of containerd's stores.

Nouns: a Descriptor points at a blob (digest, size, media type); a Manifest lists a config and layers, an Index the
manifests of several platforms; an ImageConfig is the config blob, whose digest is the image's id in Docker's sense and
whose diff ids name the unpacked layers; a chain id names a stack of unpacked layers, which is a snapshot's key.

``manifest``, ``config``, ``platform``, ``changes``, ``progress`` and ``removal`` are pure. ``layers`` brings blobs
into the content store and unpacks them; ``catalogue`` reads images back from containerd's image records. The verbs
(pull, load, import, save, push) stand on those, and :mod:`shoal.container.images` on the verbs: that is what the engine
calls. Nothing here knows of containers, of the HTTP API or of the network.
"""

"""What the corpus is for text, this room is for images: files become shards, split into train and validation.

What comes in: an ``.npz`` file of images and labels, or a folder with a folder of PNG files for each class. What goes
out: a folder of pixels and classes with a ``manifest.json``. In reading order:

- ``settings``  the knobs (``ImagesConfig``)
- ``png``       one PNG file to its pixels
- ``read``      files and folders to labelled images
- ``shards``    labelled images to a folder, and back by memory map

The images of one run fit into memory while they are prepared; while it trains they are mapped.
"""

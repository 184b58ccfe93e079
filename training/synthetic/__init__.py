"""Synthetic datasets in the layouts of the real ones, to try the training without a download.

The writers start processes: call them under `if __name__ == "__main__":`.
"""

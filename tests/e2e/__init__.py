"""The product as its strictest user sees it: from the contract alone, on real servers."""

"""Shops on loopback whose products' images can be changed, as the documentation of their APIs says.

A merchant changes images at any time by the methods `merchant_…`, which also say what the shop has.
"""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from tests.source_servers import FakeDownloads, FakeShopify, FakeWooCommerce, Reply, Sent, cost

# What a query or mutation costs, and what the shop restores in a second that is waited.
COSTS = {"query": 12, "mutation": 10}


class FakeImages:
    """The images of a shop's products, in their order, as the merchant sees them."""

    products: dict[str, list[dict[str, Any]]]
    refused: set[str]
    before_change: Callable[[str], None] | None
    after_change: Callable[[str], None] | None

    def names(self, product_id: str) -> list[str]:
        """Return the names of a product's images; those of ours begin with an asterisk."""
        return [image["name"] for image in self.products[product_id]]

    def merchants(self, product_id: str) -> list[str]:
        """Return the names of the images that the merchant has added, in their order."""
        return [name for name in self.names(product_id) if not name.startswith("*")]

    def ours(self, product_id: str) -> list[str]:
        """Return the names of the other ones."""
        return [name for name in self.names(product_id) if name.startswith("*")]

    def merchant_removes(self, product_id: str, name: str) -> None:
        self.products[product_id] = [each for each in self.products[product_id] if each["name"] != name]

    def merchant_moves(self, product_id: str, name: str, place: int) -> None:
        images = self.products[product_id]
        image = next(each for each in images if each["name"] == name)
        images.remove(image)
        images.insert(place, image)

    def merchant_adds(self, product_id: str, name: str, place: int = 100) -> None:
        raise NotImplementedError


def file_name(url: str) -> str:
    return urlsplit(url).path.rpartition("/")[2]


class FakeShopifyShop(FakeImages, FakeShopify):
    """A shop with the mutations of media, their processing, and its limits by cost.

    Args:
        products: The names of the images of each product.

    Attributes:
        polls: How often a new image is read before it is processed.
        job_polls: How often a job of moves is read before it is done.
        available: What is left of the cost; each second that is waited restores 50.
    """

    def __init__(self, products: dict[str, list[str]]) -> None:
        downloads = FakeDownloads()
        downloads.close()  # nothing is downloaded
        FakeShopify.__init__(self, downloads, [])
        self.scopes = ["write_products", "write_files"]
        self.polls, self.job_polls, self.available, self.maximum = 1, 1, 1000.0, 1000.0
        self.refused, self.before_change, self.after_change = set(), None, None
        self.deleted: list[str] = []
        self.mutations: list[str] = []
        self.throttled = 0
        self._number, self._job = 0, 0
        self.products = {}
        for product_id, names in products.items():
            self.products[product_id] = []
            for name in names:
                self.merchant_adds(product_id, name)

    def merchant_adds(self, product_id: str, name: str, place: int = 100) -> None:
        self.products[product_id].insert(place, self._image(name, f"https://cdn.shopify.example/{name}.jpg", name))

    def _image(self, name: str, url: str, alt: str, polls: int = 0) -> dict[str, Any]:
        self._number += 1
        media_id = f"gid://shopify/MediaImage/{self._number}"
        return {"id": media_id, "name": name, "url": url, "alt": alt, "polls": polls, "failed": False}

    def wait(self, seconds: float) -> None:
        self.available = min(self.available + 50 * seconds, self.maximum)

    def _data(self, request: dict[str, Any]) -> dict[str, Any]:
        query, variables = request["query"], request["variables"]
        if "accessScopes" in query:
            return {"currentAppInstallation": {"accessScopes": [{"handle": scope} for scope in self.scopes]}}
        if "media(first: 250)" in query:
            return {"product": self._read(variables["id"].rpartition("/")[2])}
        if "job(id" in query:
            self._job -= 1
            return {"job": {"id": variables["id"], "done": self._job <= 0}}
        name = re.search(r"\{ (\w+)\(", query)
        assert name, query
        self.mutations.append(name[1])
        product_id = self._product_of(variables)
        if self.before_change:
            self.before_change(product_id)
        data = {"productUpdate": self._add, "fileDelete": self._delete, "productReorderMedia": self._move}[name[1]](
            variables
        )
        if self.after_change:
            self.after_change(product_id)
        return {name[1]: data}

    def _product_of(self, variables: dict[str, Any]) -> str:
        if "files" in variables:
            files = variables["files"]
            return next((key for key, each in self.products.items() if any(one["id"] in files for one in each)), "")
        return str(variables.get("id") or variables["product"]["id"]).rpartition("/")[2]

    def _read(self, product_id: str) -> dict[str, Any] | None:
        if product_id not in self.products:
            return None
        nodes = []
        for image in self.products[product_id]:
            is_processing = image["polls"] > 0
            image["polls"] -= is_processing
            status = "PROCESSING" if is_processing else "FAILED" if image["failed"] else "READY"
            node = {"id": image["id"], "alt": image["alt"], "status": status, "mediaErrors": []}
            node["image"] = {"url": image["url"]} if status == "READY" else None
            if status == "FAILED":
                node["mediaErrors"] = [{"code": "IMAGE_DOWNLOAD_FAILURE"}]
            nodes.append(node)
        return {"id": f"gid://shopify/Product/{product_id}", "media": {"nodes": nodes}}

    def _add(self, variables: dict[str, Any]) -> dict[str, Any]:
        product_id, media = variables["product"]["id"].rpartition("/")[2], variables["media"]
        assert variables["product"].keys() == {"id"}, "nothing else of a product is written"
        if product_id not in self.products:
            return {"product": None, "userErrors": [{"field": ["id"], "message": "Product does not exist"}]}
        for each in media:
            assert each["mediaContentType"] == "IMAGE"
            name = file_name(each["originalSource"])
            url = f"https://cdn.shopify.example/files/{name}?v=1"
            image = self._image(f"*{name}", url, each["alt"], self.polls)
            image["failed"] = name in self.refused
            self.products[product_id].append(image)
        return {"product": variables["product"], "userErrors": []}

    def _delete(self, variables: dict[str, Any]) -> dict[str, Any]:
        known = {each["id"]: each for images in self.products.values() for each in images}
        if any(each not in known for each in variables["files"]):
            return {"deletedFileIds": None, "userErrors": [{"code": "FILE_DOES_NOT_EXIST", "field": ["fileIds"]}]}
        self.deleted += [known[each]["name"] for each in variables["files"]]
        for product_id, images in self.products.items():
            self.products[product_id] = [each for each in images if each["id"] not in variables["files"]]
        return {"deletedFileIds": variables["files"], "userErrors": []}

    def _move(self, variables: dict[str, Any]) -> dict[str, Any]:
        images = self.products[variables["id"].rpartition("/")[2]]
        for move in variables["moves"]:
            image = next((each for each in images if each["id"] == move["id"]), None)
            if image is None:
                error = {"code": "MEDIA_DOES_NOT_EXIST", "field": ["moves"], "message": "Media does not exist"}
                return {"job": None, "mediaUserErrors": [error]}
            assert isinstance(move["newPosition"], str), "an UnsignedInt64"
            images.remove(image)
            images.insert(int(move["newPosition"]), image)
        self._job = self.job_polls
        return {"job": {"id": "gid://shopify/Job/1", "done": False}, "mediaUserErrors": []}


class LimitedShopifyShop(FakeShopifyShop):
    """A shop that counts the cost of queries, and throttles them."""

    def answer(self, sent: Sent) -> Reply:
        if not sent.path.endswith("/graphql.json"):
            return super().answer(sent)
        price = COSTS["mutation" if sent.json["query"].startswith("mutation") else "query"]
        if price > self.available:
            self.throttled += 1
            errors = [{"message": "Throttled", "extensions": {"code": "THROTTLED"}}]
            return Reply({"errors": errors, "extensions": {"cost": cost(price, int(self.available))}})
        self.available -= price
        return super().answer(sent)


class FakeWooCommerceShop(FakeImages, FakeWooCommerce):
    """A site whose products' images can be replaced by a list.

    Attributes:
        can_write: Whether the key has the permission Read/Write.
        library: The media library by id: images stay in it.
    """

    def __init__(self, products: dict[str, list[str]]) -> None:
        FakeWooCommerce.__init__(self, [])
        self.can_write = True
        self.refused, self.before_change, self.after_change = set(), None, None
        self.library: dict[int, dict[str, Any]] = {}
        self.written: list[Any] = []
        self.products = {}
        for product_id, names in products.items():
            self.products[product_id] = []
            for name in names:
                self.merchant_adds(product_id, name)

    def merchant_adds(self, product_id: str, name: str, place: int = 100) -> None:
        self.products[product_id].insert(place, self._image(name, f"https://shop.example/{name}.jpg", name))

    def _image(self, name: str, url: str, alt: str) -> dict[str, Any]:
        number = len(self.library) + 1
        self.library[number] = {"id": number, "name": name, "src": url, "alt": alt}
        return self.library[number]

    def answer(self, sent: Sent) -> Reply:
        match = re.fullmatch(r"/wp-json/wc/v3/products/(\d+|batch)", sent.path)
        is_list = sent.path == "/wp-json/wc/v3/products"
        if not match and not is_list:
            return super().answer(sent)
        path = "/wp-json/wc/v3/data/currencies/current"
        denied = FakeWooCommerce.answer(self, Sent("GET", path, {}, sent.headers, b""))
        if denied.status != 200:
            return denied
        if sent.method != "GET" and not self.can_write:
            code = "woocommerce_rest_authentication_error"
            return Reply({"code": code, "message": "The API key provided does not have write permissions."}, 401)
        if is_list or match is None:
            return Reply([])
        if match[1] == "batch":
            assert sent.json == {}
            return Reply([])
        if match[1] not in self.products:
            return Reply({"code": "woocommerce_rest_product_invalid_id", "message": "Invalid ID."}, 404)
        if sent.method == "PUT":
            return self._put(match[1], sent.json)
        return Reply(self._product(match[1]))

    def _product(self, product_id: str) -> dict[str, Any]:
        images = [each for each in self.products[product_id] if each["id"] in self.library]
        return {"id": int(product_id), "name": "Lamp", "images": images}

    def _put(self, product_id: str, body: dict[str, Any]) -> Reply:
        assert body.keys() == {"images"}, "nothing else of a product is written"
        self.written.append(body["images"])
        if self.before_change:
            self.before_change(product_id)
        images: dict[int, dict[str, Any]] = {}
        for each in body["images"]:
            number = each.get("id", 0)
            if not number:
                name = file_name(each["src"])
                if name in self.refused:
                    return Reply({"code": "woocommerce_product_image_upload_error", "message": "Invalid URL"}, 400)
                number = self._image(f"*{name}", f"https://shop.example/uploads/{name}", each["alt"])["id"]
            if number not in self.library:
                return Reply({"code": "woocommerce_product_invalid_image_id", "message": "#1 is invalid"}, 400)
            images[number] = self.library[number]
        self.products[product_id] = list(images.values())
        if self.after_change:
            self.after_change(product_id)
        return Reply(self._product(product_id))

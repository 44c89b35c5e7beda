import { DOMParser, type Element } from "@xmldom/xmldom";
import type { XmlElement } from "./xml";

/** Throws what is wrong, and where. */
export function parseXml(text: string): XmlElement {
  // What some parsers mend is a mistake here: the first complaint ends it. A document type could bring entities of its own.
  const refuse = (_level: string, message: string): never => {
    throw new Error(`is no XML: ${message.split("\n")[0]}`);
  };
  const document = new DOMParser({ onError: refuse }).parseFromString(text.trim(), "text/xml");
  if (document.doctype) throw new Error("has a document type: leave <!DOCTYPE …> out");
  return elementOf(document.documentElement!);
}

function elementOf(node: Element): XmlElement {
  const nodes = [...node.childNodes];
  return {
    name: node.nodeName,
    attributes: Object.fromEntries([...node.attributes].map(({ name, value }) => [name, value])),
    children: nodes
      .filter((child) => child.nodeType === child.ELEMENT_NODE)
      .map((e) => elementOf(e as Element)),
    text: nodes
      .filter((child) => child.nodeType === child.TEXT_NODE || child.nodeType === child.CDATA_SECTION_NODE)
      .map((child) => child.nodeValue)
      .join("")
      .trim(),
  };
}
